import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { idsOf } from './lines.ts'

/** A folder of one test; `using` removes it. */
export class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'ktrail-'))

  at(name: string): string {
    return join(this.path, name)
  }

  /** Names in it, rotated files first, oldest first: the order in which they were written. */
  names(): string[] {
    return readdirSync(this.path).toSorted((a, b) => Number(isCurrent(a)) - Number(isCurrent(b)) || (a < b ? -1 : 1))
  }

  read(name: string): string {
    return readFileSync(this.at(name), 'utf8')
  }

  /** Numbers of all lines in all files, in the order written; throws if a line is torn. */
  ids(): number[] {
    return this.names().flatMap((name) => idsOf(this.read(name)))
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

function isCurrent(name: string): boolean {
  return !/-\d{4}-\d\d-\d\dT/.test(name)
}
