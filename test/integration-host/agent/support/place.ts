/** The files of a real agent on a kernel that plays records (test/support/kernel/host-agent.ts), in a folder of the test. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { accessOf, countLines } from '../../../e2e/support/faults.ts'
import { FILE, policyOf } from '../../../support/kernel/functions.ts'
import type { Folder } from '../../../unit/exporters/support/folder.ts'

const PROGRAM = join(import.meta.dirname, '../../../support/kernel/host-agent.ts')

/** For `RawAgent`. */
export const NODE: readonly string[] = [process.execPath, '--disable-warning=ExperimentalWarning', PROGRAM]

/** Number of lines in `file` about reads of FILE. */
export const reads = (file: string): number => countLines(file, accessOf(FILE))

export interface Place {
  readonly events: string
  /** The file exporter of `events`. */
  readonly archive: Readonly<Record<string, unknown>>
  /** Writes a config with these keys beside the policies; returns its path. */
  config(keys?: Readonly<Record<string, unknown>>): string
  /** Writes a policy file, by a rename. */
  policy(file: string, text: string): void
}

export function place(folder: Folder): Place {
  mkdirSync(folder.at('policies'))
  mkdirSync(folder.at('proc'))
  const policy = (file: string, text: string): void => {
    writeFileSync(folder.at('new'), text)
    renameSync(folder.at('new'), folder.at(`policies/${file}`))
  }
  policy('p.yaml', policyOf('watched'))
  const events = folder.at('events.jsonl')
  const archive = { type: 'file', path: events, batch: { max_wait: '20ms' } }
  const config = (keys: Readonly<Record<string, unknown>> = {}): string => {
    const whole = {
      policies: [folder.at('policies')],
      procfs: folder.at('proc'),
      state_dir: folder.at('state'),
      server: { http: '127.0.0.1:0', grpc: 'disabled' },
      exporters: { archive },
      log: { level: 'info', format: 'json' },
      ...keys,
    }
    writeFileSync(folder.at('ktrail.yaml'), JSON.stringify(whole))
    return folder.at('ktrail.yaml')
  }
  return { events, archive, config, policy }
}
