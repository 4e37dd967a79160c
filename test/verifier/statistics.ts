/** Programs in what log.c writes, the text of their table, and what has changed between two measurements. */

/** Counts of the verifier about one program (kernel/bpf/verifier.c, print_verification_stats). */
export interface Measured {
  readonly name: string
  /** Instructions of the program, as libbpf gives it to the kernel. */
  readonly size: number
  /** Instructions that the verifier walked, on all ways through the program. The kernel's limit is a million. */
  readonly walked: number
  readonly states: number
  /** States that were kept at the same time. */
  readonly peak: number
  /** Bytes of the stack of each function, `16+40`. */
  readonly stack: string
  readonly usec: number
}

export interface OfKernel {
  readonly kernel: string
  readonly programs: readonly Measured[]
}

/** Loads of the agent's programs, in their order. Throws for one without statistics. */
export function programsOf(text: string): Measured[] {
  return text
    .split(/^program /m)
    .slice(1)
    .flatMap((part) => {
      const [, name = '', size = ''] = /^(\S*) (\d+)\n/.exec(part) ?? []
      // libbpf tries features with programs that have no name, or its own.
      if (!/^(?:gate|hook|process|cgroup|file|aggregate)_/.test(name)) return []
      const counts =
        /processed (\d+) insns \(limit \d+\) max_states_per_insn \d+ total_states (\d+) peak_states (\d+)/.exec(part)
      const [, usec = ''] = /verification time (\d+) usec/.exec(part) ?? []
      // Since 7.x, a line for each function instead of one list.
      const lines = [...part.matchAll(/^subprog .* stack (\d+)$/gm)].map(([, bytes]) => bytes)
      const stack = lines.length > 0 ? lines.join('+') : (/stack depth ([\d+]+)/.exec(part)?.[1] ?? '')
      if (counts === null || usec === '' || stack === '')
        throw new Error(
          `expected the verifier's statistics about program ${name}, got ${JSON.stringify(part.slice(0, 200))}`,
        )
      const [walked = 0, states = 0, peak = 0] = counts.slice(1).map(Number)
      // Programs for the functions of an object differ only by their number.
      return [{ name: name.replace(/_\d+$/, ''), size: Number(size), walked, states, peak, stack, usec: Number(usec) }]
    })
}

/** The load of each program that the verifier walked longest, by name. */
export function largest(loads: readonly Measured[]): Measured[] {
  const found = new Map<string, Measured>()
  for (const load of loads) if (load.walked > (found.get(load.name)?.walked ?? -1)) found.set(load.name, load)
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** Part of its walked instructions by which a program may get worse. */
export const ALLOWED = 0.05

export interface Comparison {
  readonly failures: readonly string[]
  /** Programs that are better, or new: the file should have them. */
  readonly hints: readonly string[]
}

export function compare(was: readonly Measured[], is: readonly Measured[]): Comparison {
  const before = new Map(was.map((each) => [each.name, each.walked]))
  const change = ({ name, walked }: Measured): string =>
    `${name}: ${before.get(name) ?? 'new'} → ${walked} instructions`
  const now = new Set(is.map(({ name }) => name))
  return {
    failures: [
      ...is.filter(({ name, walked }) => walked > (before.get(name) ?? Infinity) * (1 + ALLOWED)).map(change),
      ...was.filter(({ name }) => !now.has(name)).map(({ name }) => `${name}: it was not loaded`),
    ],
    hints: is.filter(({ name, walked }) => walked < (before.get(name) ?? Infinity) * (1 - ALLOWED)).map(change),
  }
}

const newestLast = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true })

/** The tables of docs/reference/verifier.md: walked instructions by kernel, and the rest of the newest kernel. */
export function tables(file: Readonly<Record<string, OfKernel>>): string {
  const kernels = Object.keys(file).toSorted(newestLast)
  const names = [
    ...new Set(kernels.flatMap((kernel) => file[kernel]?.programs.map(({ name }) => name) ?? [])),
  ].toSorted()
  const of = (kernel: string, name: string): Measured | undefined =>
    file[kernel]?.programs.find((program) => program.name === name)
  const table = (rows: readonly (readonly string[])[]): string[] =>
    rows.map((cells) => `| ${cells.join(' | ')} |`).toSpliced(1, 0, `|${'---|'.repeat(rows[0]?.length ?? 0)}`)
  const count = (number: number | undefined): string => number?.toLocaleString('en') ?? '–'
  return [
    `Walked instructions, of a million that the kernel permits:`,
    '',
    ...table([
      ['program', ...kernels],
      ...names.map((name) => [`\`${name}\``, ...kernels.map((kernel) => count(of(kernel, name)?.walked))]),
    ]),
    '',
    `Size in instructions · states · states at once · largest stack of a function in bytes · milliseconds:`,
    '',
    ...table([
      ['program', ...kernels],
      ...names.map((name) => [
        `\`${name}\``,
        ...kernels.map((kernel) => {
          const each = of(kernel, name)
          if (each === undefined) return '–'
          return `${count(each.size)} · ${count(each.states)} · ${count(each.peak)} · ${stackOf(each)} · ${count(Math.round(each.usec / 1000))}`
        }),
      ]),
    ]),
    '',
    `Measured on ${kernels.map((kernel) => file[kernel]?.kernel).join(', ')}.`,
  ].join('\n')
}

/** Bytes of the largest stack of a function: the verifier lists them all. */
const stackOf = ({ stack }: Measured): number => Math.max(...stack.split('+').map(Number))
