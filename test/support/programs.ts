/**
 * The C programs of test/fixtures. `node test/support/programs.ts` compiles all of them: `make test` does so on this machine before its guests
 * need them, since a compiler takes seconds in an emulated guest.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url))
const BUILT = fileURLToPath(new URL('../../build/programs', import.meta.url))

/** Static: a guest's or a container's C library is another one. */
const USUAL = ['-O1', '-Wall', '-Werror', '-static', '-pthread']
const OWN: Readonly<Record<string, readonly string[]>> = {
  // It passes bad addresses on purpose.
  'e2e/bytes': ['-O1', '-w', '-static'],
  'e2e/second-reader': ['-O1', '-Wall', '-Werror', '-lbpf'],
  // Its stack is read, by frame pointers and by the addresses of its symbols.
  'e2e/language/stacks': ['-O1', '-w', '-fno-omit-frame-pointer', '-fno-optimize-sibling-calls'],
}

/** Compiles `test/fixtures/NAME.c`, unless this was done before, and copies the program to `to`. */
export function makeProgram(name: string, to: string): void {
  copyFileSync(compiled(name), to)
}

/** The program of `test/fixtures/NAME.c` in the checkout, where only its owner may be able to run it. */
function compiled(name: string): string {
  const source = join(FIXTURES, `${name}.c`)
  const flags = OWN[name] ?? USUAL
  const hash = createHash('sha256').update(readFileSync(source)).update(flags.join(' '))
  // Any header of its folder may be included.
  for (const header of globSync('*.h', { cwd: dirname(source) }).toSorted())
    hash.update(readFileSync(join(dirname(source), header)))
  const key = hash.digest('hex')
  const program = join(BUILT, `${name}-${process.arch}-${key.slice(0, 16)}`)
  if (existsSync(program)) return program
  mkdirSync(dirname(program), { recursive: true })
  const part = `${program}.${process.pid}`
  // Libraries come after their users.
  execFileSync('gcc', ['-o', part, source, ...flags])
  renameSync(part, program)
  return program
}

if (import.meta.main) {
  const sources = globSync('{e2e,e2e-faults,hostile}/**/*.c', { cwd: FIXTURES })
  for (const source of sources) if (!source.endsWith('.bpf.c')) compiled(source.slice(0, -'.c'.length))
}
