/** Kernel bytes → texts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { binaryPath, decodeText, execId, flagWords, readArguments } from '../../../../collector/wire/text.ts'
import { PROCESS_FLAGS } from '../../../../collector/wire/flags.ts'

const TEXTS: ReadonlyArray<readonly [bytes: number[] | string, text: string, lost: boolean]> = [
  ['/etc/passwd', '/etc/passwd', false],
  ['', '', false],
  ['/tmp/ü日\u{1f600}', '/tmp/ü日\u{1f600}', false],
  ['a\nb"c\\', 'a\nb"c\\', false],
  ['real \ufffd', 'real \ufffd', false],
  [[0xff], '\ufffd', true],
  [[0x61, 0xff, 0xfe, 0x80, 0x62], 'a\ufffdb', true],
  [[0xff, 0x61, 0xff], '\ufffda\ufffd', true],
  [[0xe6, 0x97], '\ufffd', true], // a character cut off
  [[0xed, 0xa0, 0x80], '\ufffd', true], // half a surrogate pair
  [[0xc0, 0xaf], '\ufffd', true], // overlong
]

for (const [bytes, text, lost] of TEXTS) {
  test(`text: ${JSON.stringify(bytes)} is ${JSON.stringify(text)}${lost ? ', with the exact bytes in `raw`' : ''}`, () => {
    const buffer = Buffer.from(bytes as string)
    const found = decodeText(buffer)
    assert.equal(found.text, text)
    assert.deepEqual(found.raw, lost ? buffer : undefined)
  })
}

test('text: `raw` is set only if the text differs from the bytes, and is a copy', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), fc.nat(4), (array, from) => {
      const bytes = Buffer.concat([Buffer.alloc(from, 0xff), Buffer.from(array), Buffer.alloc(3, 0xff)])
      const { text, raw } = decodeText(bytes, from, from + array.length)
      const exact = Buffer.from(array)
      assert.equal(raw === undefined, Buffer.from(text).equals(exact))
      if (raw === undefined) return
      bytes.fill(0)
      assert.deepEqual(Buffer.from(raw), exact)
    }),
  )
})

for (const [filename, path, binary] of [
  ['/bin/sh', '/usr/bin/dash', '/bin/sh'],
  ['//bin/./sh', '/usr/bin/dash', '/bin/sh'],
  ['/a b/"c"', '', '/a b/"c"'],
  ['/a..b/..c/d..', '/x', '/a..b/..c/d..'],
  ['/tmp/l/../../usr/sbin/sshd', '/run/s/a/b/usr/sbin/sshd', '/run/s/a/b/usr/sbin/sshd'],
  ['/usr/../bin/sh', '/bin/sh', '/bin/sh'],
  ['/tmp/..', '/x', '/x'],
  ['./x', '/tmp/x', '/tmp/x'],
  ['x', '/opt/y', '/opt/y'],
  ['../x', '/tmp/x', '/tmp/x'],
  ['/dev/fd/3', '/memfd:x (deleted)', '/memfd:x (deleted)'],
  ['/dev//fd/3/x', '/tmp/x', '/tmp/x'],
  ['/dev/fdx', '/tmp/x', '/dev/fdx'],
  ['', '/tmp/x', '/tmp/x'],
  // An unknown path stays as it was written.
  ['/tmp/l/../../usr/sbin/sshd', '', '/tmp/l/../../usr/sbin/sshd'],
  ['./x', '', './x'],
  ['/dev/fd/3', '', '/dev/fd/3'],
  ['', '', ''],
] as const) {
  test(`text: a binary named ${JSON.stringify(filename)} that is ${JSON.stringify(path)} is ${JSON.stringify(binary)}`, () =>
    assert.equal(binaryPath(filename, path), binary))
}

for (const [argv, joined] of [
  [['ls'], ''],
  [['ls', '-l'], '-l'],
  [['ls', '-l', '/tmp'], '-l /tmp'],
  [['ls', 'a b'], ' "a b"'],
  [['sh', '-c', 'echo hi'], '-c "echo hi"'],
  [['x', 'a b', 'c d', 'e'], ' "a b" "c d" e'],
  [['x', 'say "hi" now'], ' "say "hi" now"'],
  [['x', 'tab\there'], 'tab\there'],
  [['x', ''], ''],
  [['x', '', ''], ' '],
  [['x', 'a', '', 'b'], 'a  b'],
  [['x', ' '], ' " "'],
  [[], ''],
  [[''], ''],
  [['', 'a'], 'a'],
] as const) {
  test(`text: argv ${JSON.stringify(argv)} is ${JSON.stringify(joined)}`, () =>
    assert.equal(readArguments(Buffer.from(argv.map((word) => `${word}\0`).join(''))).arguments, joined))
}

for (const [bytes, argv] of [
  ['ls\0', 'ls'],
  ['ls\0-la\0/tm', 'ls'],
  ['x\0\0\0', 'x'],
  ['\0a\0', ''],
  ['sh\0-c\0echo "hi" there\0\0', 'sh\0-c\0echo "hi" there\0'],
  ['x\0\0', 'x\0'],
  ['x\0"a\0b"\0', 'x'],
  ['', ''],
] as const) {
  test(`text: argv of ${JSON.stringify(bytes)} is kept as ${JSON.stringify(argv)}`, () =>
    assert.equal(readArguments(Buffer.from(bytes)).argv, argv))
}

test('text: a cut argv ends in the beginning of its last word', () => {
  assert.equal(readArguments(Buffer.from('ls\0-la\0/tm')).arguments, '-la /tm')
  assert.equal(readArguments(Buffer.from([0x6c, 0, 0xe6, 0x97])).arguments, '\ufffd')
})

test('text: all flags are printed, in Tetragon’s order', () => {
  const all = Object.values(PROCESS_FLAGS).reduce((sum, bit) => sum | bit, 0)
  const words =
    'execve procFS errorEnvs truncArgs miss errorFilename errorArgs nocwd rootcwd errorCWD clone errorCgroupName errorPathResolutionCwd dataFilename dataArgs inInitTree'
  assert.equal(flagWords(all), words)
  assert.equal(flagWords(0), '')
  assert.equal(flagWords(0x5001), 'execve rootcwd clone')
  // Bits that are internal or not ours are not printed.
  assert.equal(flagWords(0x402), '')
})

test('text: exec_id is base64 of node:start:pid, as in Tetragon', () => {
  assert.equal(
    execId('tetragon-dev-control-plane', 16817705012542n, 64746),
    'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY4MTc3MDUwMTI1NDI6NjQ3NDY=',
  )
})
