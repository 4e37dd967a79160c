import assert from 'node:assert/strict'
import { closeSync, openSync, writeSync } from 'node:fs'
import { test } from 'node:test'
import { descriptorFile } from '../../../../../exporters/sinks/stdout/descriptor.ts'
import { Folder } from '../../support/folder.ts'

const bytes = (text: string): Uint8Array[] => [Buffer.from(text)]

interface Step {
  readonly name: string
  /** Written by the shell, or by the agent's log, after a line was truncated. */
  readonly between: string
  readonly want: Readonly<Record<'w' | 'a', string>>
}

const BEFORE = 'by the shell\n'
const STEPS: readonly Step[] = [
  {
    name: 'no other program',
    between: '',
    want: { w: `${BEFORE}one\nthree\nfour\nend\n`, a: `${BEFORE}one\nthree\nfour\nend\n` },
  },
  {
    name: 'another program',
    between: 'log\n',
    // The offset was two bytes after the end.
    want: { w: `${BEFORE}one\n \nlog\nthree\nfour\nend\n`, a: `${BEFORE}one\nlog\nthree\nfour\nend\n` },
  },
]
for (const { name, between, want } of STEPS) {
  for (const how of ['w', 'a'] as const) {
    test(`stdout as a file (${how}): truncated, then written by ${name}, it has no gap and nothing is overwritten`, async () => {
      using folder = new Folder()
      const fd = openSync(folder.at('out'), how)
      try {
        writeSync(fd, BEFORE)
        const file = descriptorFile(fd)
        await file.writev(bytes('one\ntw'))
        await file.truncate(`${BEFORE}one\n`.length)
        assert.equal(folder.read('out'), `${BEFORE}one\n`)
        if (between !== '') writeSync(fd, between)
        for (let rest = 'three\nfour\n'; rest !== '';) rest = rest.slice((await file.writev(bytes(rest))).bytesWritten)
        writeSync(fd, 'end\n')
        assert.equal(folder.read('out'), want[how])
      } finally {
        closeSync(fd)
      }
    })
  }
}

test('stdout as a file: lines shorter than the gap fill it one after the other', async () => {
  using folder = new Folder()
  const fd = openSync(folder.at('out'), 'w')
  try {
    const file = descriptorFile(fd)
    await file.writev(bytes('x\nlonger'))
    await file.truncate(2)
    for (const line of ['a\n', 'b\n', 'c\n', 'd\n']) assert.equal((await file.writev(bytes(line))).bytesWritten, 2)
    assert.equal(folder.read('out'), 'x\na\nb\nc\nd\n')
  } finally {
    closeSync(fd)
  }
})

test('stdout as a file: bytes that a device has taken are not truncated', async () => {
  const fd = openSync('/dev/null', 'w')
  try {
    const file = descriptorFile(fd)
    assert.equal((await file.writev(bytes('one\ntw'))).bytesWritten, 6)
    await file.truncate(0)
    assert.equal((await file.writev(bytes('one\n'))).bytesWritten, 4)
  } finally {
    closeSync(fd)
  }
})
