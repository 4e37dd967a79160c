/** Words of a command that take as much room as a program can make them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_RECORDS } from '../../../../config/agent/exporters/otlp-records.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import { createOtlpEncoder } from '../../../../exporters/encoding/otlp/encode.ts'
import { boundedText, boundedWords } from '../../../../exporters/encoding/command-args.ts'
import { Measure } from '../../../../exporters/sinks/otlp/loki/measure.ts'
import { file, makeKprobe, makeProcess } from '../support/events.ts'

/** Bytes of arguments that the kernel side takes. */
const ARGV_BYTES = 16_384
const LIMIT_BYTES = 64 << 10
const goJson = (words: readonly string[]): number =>
  Buffer.byteLength(
    JSON.stringify(words).replaceAll(
      /[<>&\u2028\u2029]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  )

const json = createJsonEncoder({ nodeName: 'n' })
const HOSTILE = ['"', '<', '\u0001', '\n', '\ufffd', '😀', '\u2028', '\0', 'x\0', '\\'].map((text) =>
  text.repeat(Math.floor(ARGV_BYTES / text.length)),
)

test('command args: ordinary ones are whole, up to 16 KiB', () => {
  for (const words of [[], ['cat', '/etc/shadow'], [''], ['java', '-cp', 'a.jar:'.repeat(2_700)]]) {
    assert.ok(words.join(' ').length < ARGV_BYTES)
    assert.deepEqual(boundedWords(words), words)
    assert.equal(boundedText(words.join(' ')), words.join(' '))
  }
})

test('command args: hostile ones end with a mark and stay within the bound', () => {
  for (const argv of HOSTILE) {
    const words = argv.split('\0')
    const kept = boundedWords(words)
    assert.ok(goJson(kept) <= 24 << 10, `${JSON.stringify(argv.slice(0, 2))}: ${goJson(kept)}`)
    if (goJson(words) <= 24 << 10) continue
    const last = kept.at(-1) ?? ''
    assert.ok(last.endsWith('…'))
    assert.ok(goJson(kept) > 20 << 10, 'no more is cut than needed')
    assert.ok(
      [...words.slice(0, kept.length - 1), last.slice(0, -1)].join('\0') === argv.slice(0, kept.join('\0').length - 1),
    )
    assert.ok(last.isWellFormed())
  }
  const text = boundedText('ÿ'.repeat(ARGV_BYTES))
  assert.equal(Buffer.byteLength(text), (16 << 10) - 1)
  assert.ok(text.endsWith('ÿ…'))
})

test('command args: Loki takes the record of any command, with the command line too', () => {
  const all = { arg_labels: true, command_line: true, event_name_attribute: true, file_details: true }
  const encoder = createOtlpEncoder({ ...DEFAULT_RECORDS, ...all, epoch: '1', body: 'text', json })
  const longest = `/${'b'.repeat(4_094)}`
  for (const argv of HOSTILE) {
    const process = makeProcess({ binary: longest, argv, arguments: argv.replaceAll('\0', ' '), cwd: longest })
    const parent = makeProcess({ binary: longest })
    const part = encoder.encode([makeKprobe({ process, parent, args: [file(longest), file(longest)] })])
    const { metadataBytes } = new Measure().at(part, 0)
    assert.ok(metadataBytes < LIMIT_BYTES, `${JSON.stringify(argv.slice(0, 2))}: ${metadataBytes}`)
  }
})
