/** The kernel's entries of processes (bpf/process/conditions.h), changed as if the kernel had not run the agent's programs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { bpftool, mapOf } from './tampering.ts'

const hexOf = (bytes: Iterable<number>): string[] => [...bytes].map((byte) => byte.toString(16).padStart(2, '0'))

const keyOf = (pid: number): string[] => {
  const key = Buffer.alloc(4)
  key.writeUInt32LE(pid)
  return ['key', 'hex', ...hexOf(key)]
}

/** Saves the kernel's entries of a process. The returned function restores them, as if the kernel had not run the program for an exec meanwhile. */
export function keep(pid: number): () => void {
  const kept = ['images', 'verdicts'].map((name) => {
    const map = ['id', String(mapOf(name).id)]
    const shown = JSON.parse(
      execFileSync('bpftool', ['-j', 'map', 'lookup', ...map, ...keyOf(pid)], { encoding: 'utf8' }),
    )
    return [...map, ...keyOf(pid), 'value', 'hex', ...hexOf(shown.value.map(Number))]
  })
  return () => {
    for (const entry of kept) assert.equal(bpftool('map', 'update', ...entry), '')
  }
}

/** Deletes the kernel's entries of a process, as if the kernel had not run the program for its fork. */
export function lose(pid: number): void {
  for (const name of ['images', 'verdicts']) {
    const failed = bpftool('map', 'delete', 'id', String(mapOf(name).id), ...keyOf(pid))
    // No process has a verdict before the first call that needs one.
    if (name === 'images') assert.equal(failed, '')
  }
}
