import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Folder } from '../../support/folder.ts'

export const ROOT: string = join(import.meta.dirname, '../../../../..')
export const EXAMPLE: string = join(ROOT, 'exporters/sinks/npm/example')

/** A folder with a config file and packages, as a user would have it. */
export class UserFolder extends Folder {
  readonly configFile: string = this.at('ktrail.yaml')

  /** Installs a package of one file; `type` is of its package.json. */
  install(name: string, source: string, type: 'module' | 'commonjs' = 'module', file = 'index.js'): void {
    const folder = this.at(join('node_modules', name))
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, type, exports: `./${file}` }))
    writeFileSync(join(folder, file), source)
  }

  /** Copies a folder into this one. */
  copy(from: string, to: string): void {
    cpSync(from, this.at(to), { recursive: true })
  }

  /** Links a package folder, as npm does. */
  link(name: string, target: string): void {
    const path = this.at(join('node_modules', name))
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(target, path)
  }
}
