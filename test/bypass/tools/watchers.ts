/** Tools that print a line for each access: inotifywait, fatrace, a bpftrace script. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Report } from '../judge.ts'
import { Program } from './tool.ts'
import type { Place, Running, Tool } from './tool.ts'

const MARKS = 'marks'

/** A mark in the output: a file with a name of its own, which shows that all that happened before has been printed. */
function marks(program: Program, watched: string): () => Promise<unknown> {
  const folder = join(watched, MARKS)
  mkdirSync(folder, { recursive: true })
  let count = 0
  return () => {
    const name = `mark-${count++}.`
    return program.isRunning ? program.shows(name, () => writeFileSync(join(folder, name), 'x')) : Promise.resolve()
  }
}

const killed =
  (program: Program): NonNullable<Running['killed']> =>
  async (gap) => {
    await program.end('SIGKILL')
    gap()
    return { says: () => 'nothing' }
  }

export const INOTIFYWAIT: Tool = {
  name: 'inotifywait',
  package: 'inotify-tools',
  settings: '`inotifywait --monitor --recursive WATCHED`',
  async start({ watched }) {
    mkdirSync(join(watched, MARKS), { recursive: true })
    const program = new Program([
      'stdbuf',
      '-oL',
      'inotifywait',
      '--monitor',
      '--recursive',
      '--format',
      '%w%f',
      watched,
    ])
    await program.until('its watches', () => program.err.read().some((line) => line.includes('Watches established')))
    const mark = marks(program, watched)
    /** Lines before the access of a way are of its preparation. */
    const from = new Map<string, number>()
    return {
      async begins({ name }) {
        await mark()
        from.set(name, program.out.read().length)
      },
      async reports() {
        await mark()
        return program.out.read().flatMap((path, i): Report[] => {
          const [way = ''] = path.slice(watched.length + 1).split('/')
          return i >= (from.get(way) ?? Infinity) ? [{ paths: [path.replace(/\/$/, '')] }] : []
        })
      },
      killed: killed(program),
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    }
  },
}

/** A program whose lines are complete reports. The packages of these tools have no service. */
export const printing =
  (
    make: (place: Place) => Program,
    reportsOf: (line: string) => readonly Report[],
    service: 'no service' | 'a service' = 'no service',
  ): Tool['start'] =>
  async (place) => {
    const program = make(place)
    const mark = marks(program, place.watched)
    await mark()
    return {
      async reports() {
        await mark()
        return program.out.read().flatMap(reportsOf)
      },
      ...(service === 'no service' ? { killed: killed(program) } : {}),
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    }
  }

export const FATRACE: Tool = {
  name: 'fatrace',
  package: 'fatrace',
  settings: '`fatrace`',
  start: printing(
    () => new Program(['stdbuf', '-oL', 'fatrace']),
    (line) => {
      const [, name, pid, path] = /^(.*)\((\d+)\): \S+ +(.*)$/.exec(line) ?? []
      return name === undefined || path === undefined ? [] : [{ pid: Number(pid), program: name, paths: [path] }]
    },
  ),
}

const SCRIPT = join(import.meta.dirname, 'opensnoop.bt')

export const BPFTRACE: Tool = {
  name: 'bpftrace',
  package: 'bpftrace',
  settings: '[`opensnoop.bt`](../../test/bypass/tools/opensnoop.bt), with `BPFTRACE_STRLEN=200`',
  start: printing(
    () => new Program(['bpftrace', '-B', 'line', SCRIPT], { env: { BPFTRACE_STRLEN: '200' } }),
    (line) => {
      const [, pid, uid, name, path] = /^(\d+) (\d+) (\S+) (.+)$/.exec(line) ?? []
      if (name === undefined || path === undefined) return []
      return [{ pid: Number(pid), uid: Number(uid), program: basename(name), paths: [path] }]
    },
  ),
}

/** The script without its comment. */
export const scriptText = (): string => readFileSync(SCRIPT, 'utf8').replace(/^(?:#.*|\/\*[^]*?\*\/)\n/gm, '')
