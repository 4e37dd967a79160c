/** Real spools in a folder of the test, and the spool command with its output as text. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import type { Described } from '../../../../../exporters/contract/described.ts'
import { systemSpoolFiles } from '../../../../../exporters/buffer/disk/files/files.ts'
import { frameOf } from '../../../../../exporters/buffer/disk/format/payload.ts'
import { openSpool } from '../../../../../exporters/buffer/disk/spool.ts'
import type { Spool, SpoolOptions } from '../../../../../exporters/buffer/disk/spool.ts'
import { FakeClock } from '../../../exporters/support/fake-clock.ts'
import { Folder } from '../../../exporters/support/folder.ts'

export interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A folder `F` with a config whose exporters have their spools in `F/spool`. Output names the folder F. */
export class Host implements Disposable {
  readonly folder: Folder = new Folder()
  readonly clock: FakeClock = new FakeClock()
  readonly config: string

  constructor(exporters = '  bus: { type: stdout, spool: { dir: F/spool } }') {
    this.config = this.folder.at('c.yaml')
    writeFileSync(this.config, `exporters:\n${exporters}\n`.replaceAll('F/', `${this.folder.path}/`))
  }

  /** The folder of an exporter's spool. */
  dir(name: string): string {
    return this.folder.at(`spool/${name}`)
  }

  open(name: string, options: Partial<SpoolOptions> = {}): Promise<Spool> {
    mkdirSync(this.folder.at('spool'), { recursive: true })
    return openSpool(
      {
        dir: this.dir(name),
        fsync: 'never',
        max_size: 1 << 30,
        min_free: 0,
        segment_size: 4000,
        epoch: 'e',
        ...options,
      },
      { files: systemSpoolFiles, clock: this.clock, random: () => 0.5 },
    )
  }

  /** A spool of `frames` frames of ten events each, one second apart, of which the first `acked` frames are acked. */
  async fill(name: string, frames: number, acked = 0): Promise<void> {
    await using spool = await this.open(name)
    for (let i = 0; i < frames; i++) await spool.append([frameOf(tenEvents(i * 10))])
    await spool.sync()
    for (let i = 0; i < acked; i++) {
      const read = await spool.next(1)
      if (read.status !== 'frames') throw new Error(`expected a frame, got ${read.status}`)
      spool.ack(read.token)
    }
  }

  /** Adds an exporter to the config. */
  append(exporter: string): void {
    appendFileSync(this.config, `${exporter}\n`)
  }

  /** Changes a file of a spool. */
  edit(path: string, change: (bytes: Buffer) => Buffer): void {
    writeFileSync(path, change(readFileSync(path)))
  }

  /** Runs `ktrail spool …` with this host's config; `F/` in arguments is the folder. `readable` false: the output has no reader. */
  async run(line: string, readable = (): boolean => true): Promise<Answer> {
    const out: Buffer[] = []
    const err: string[] = []
    const args = line.replaceAll('F/', `${this.folder.path}/`).split(' ')
    const code = await ktrail(['spool', ...args, '--config', this.config], {
      env: {},
      print: (text) => {
        out.push(Buffer.from(text))
        return Promise.resolve(readable())
      },
      printError: (text) => err.push(`${text}\n`),
      nowMs: () => this.clock.wallMs(),
    })
    const reported = (text: string): string => text.replaceAll(this.folder.path, 'F')
    return { code, stdout: reported(Buffer.concat(out).toString()), stderr: reported(err.join('')) }
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]()
  }
}

/** Time of event 0. */
export const ZERO_MS: number = Date.UTC(2026, 2, 9, 5, 30)

/** Ten JSON lines of 100 bytes, `{"id":N…`, event N at `ZERO_MS` + N seconds. */
export function tenEvents(firstSeq: number): Described {
  const seqs = Float64Array.from({ length: 10 }, (_, i) => firstSeq + i)
  const lines = [...seqs].map((seq) => `${`{"id":${seq}`.padEnd(98)}}\n`)
  const about = { type: 'process_exec', policy: '' } as const
  return {
    encoding: 'json',
    bytes: Buffer.from(lines.join('')),
    ends: Uint32Array.from(lines, (_, i) => (i + 1) * 100),
    count: 10,
    firstSeq,
    abouts: lines.map(() => about),
    times: seqs.map((seq) => ZERO_MS + seq * 1000),
    seqs,
  }
}
