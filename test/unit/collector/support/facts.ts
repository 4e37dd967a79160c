import type { KernelFacts } from '../../../../collector/plan/facts.ts'

/** The facts of an upstream kernel of this version, built with everything; `change` has the differences. */
export function kernel(major: number, minor: number, change: Partial<KernelFacts> = {}): KernelFacts {
  const since = (a: number, b: number): boolean => major > a || (major === a && minor >= b)
  const session = since(7, 0) ? 'context' : 'plain'
  return {
    release: `${major}.${minor}`,
    version: [major, minor],
    arch: 'x64',
    preemption: 'voluntary',
    fprobe: since(5, 18),
    trampolines: true,
    loops: since(5, 17),
    typedLoads: since(6, 2),
    session: since(6, 10) ? session : 'none',
    unifiedCgroups: true,
    security: true,
    override: true,
    errorInjection: true,
    realTime: true,
    renameLock: 0n,
    mountLock: 0n,
    ...change,
  }
}
