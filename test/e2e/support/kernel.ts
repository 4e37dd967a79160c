import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { preempts as modelPreempts } from '../../../collector/plan/facts.ts'
import { parsePreemption } from '../../../collector/kernel/read-facts.ts'

/** Whether the running kernel is at least this one. */
export function kernelAtLeast(major: number, minor: number): boolean {
  const [a = 0, b = 0] = release().split('.').map(Number)
  return a > major || (a === major && b >= minor)
}

const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')

/** Whether the running kernel preempts tasks in kernel code. */
export function preempts(): boolean {
  const debugfs = textOf('/sys/kernel/debug/sched/preempt')
  const known = debugfs === '' ? undefined : debugfs
  return modelPreempts({ preemption: parsePreemption(known, textOf('/proc/cmdline'), textOf('/proc/version')) })
}
