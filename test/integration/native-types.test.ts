/** A loaded object sees the kernel's types by a file with the few that it needs, or without procfs all of them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { kernelMembers } from '../../native/index.ts'
import { cannotAttach, compileFixture } from './native-fixture.ts'

const skip = cannotAttach()
if (skip !== false) console.log(`native-types: skipped: ${skip}`)
const CHILD = fileURLToPath(new URL('native-types.ts', import.meta.url))

test(
  'native: programs have the places and numbers of the kernel’s types, with a file of the needed ones and without',
  {
    skip,
  },
  async () => {
    const child = [process.execPath, '--disable-warning=ExperimentalWarning', CHILD, compileFixture('bpf/types.bpf.c')]
    const answers = (command: readonly string[]): number[] => {
      const [program = '', ...args] = command
      return JSON.parse(execFileSync(program, args, { encoding: 'utf8' })) as number[]
    }
    const [number, inFile, ...places] = answers(child)
    const [same, inKernel, ...others] = answers([
      'unshare',
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs tmpfs /proc && exec "$@"',
      'sh',
      ...child,
    ])
    assert.equal(number, inKernel)
    assert.equal(same, inKernel)
    assert.notEqual(inFile, inKernel, 'libbpf has not read the file')
    assert.deepEqual(places, others)
    const members = await kernelMembers(['task_struct comm', 'task_struct se.exec_start'])
    assert.deepEqual(places, [...members.flatMap(({ offsets }) => offsets), 16, 1, 0, 0])
  },
)
