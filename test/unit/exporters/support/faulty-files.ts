/** The real file system with single calls made to fail, as an errno or as a short write. */
import { systemFiles } from '../../../../exporters/sinks/file/file-system.ts'
import type { FileSystem, OpenFile } from '../../../../exporters/sinks/file/file-system.ts'

export type Call = keyof FileSystem | Exclude<keyof OpenFile, 'close'>

/** The fault of one call: an errno name, or for writev the most bytes it takes. undefined: none. */
export type Fault = string | number | undefined

export class FaultyFiles implements FileSystem {
  /** Called before every call; `bytes` for writev. */
  plan: (call: Call, path: string, bytes: number) => Fault = () => undefined
  readonly log: Call[] = []
  /** False: syncs succeed at once. The end of a process, unlike a power cut, does not need them. */
  sync = true

  readonly #gates = new Map<Call, Hang>()

  /** Makes such calls wait until all are released. */
  hang(call: Call): Hang {
    const hang = new Hang(() => this.#gates.delete(call))
    this.#gates.set(call, hang)
    return hang
  }

  async #real<T>(call: Call, path: string, run: () => Promise<T>): Promise<T> {
    this.log.push(call)
    await this.#gates.get(call)?.wait()
    const fault = this.plan(call, path, 0)
    if (typeof fault === 'string') throw errno(fault)
    return run()
  }

  async open(path: string, flags: number, mode: number): Promise<OpenFile> {
    const file = await this.#real('open', path, () => systemFiles.open(path, flags, mode))
    return {
      writev: async (buffers) => {
        this.log.push('writev')
        await this.#gates.get('writev')?.wait()
        const all = Buffer.concat(buffers)
        const fault = this.plan('writev', path, all.length)
        if (typeof fault === 'string') throw errno(fault)
        return file.writev([fault === undefined ? all : all.subarray(0, fault)])
      },
      read: (...wanted) => this.#real('read', path, () => file.read(...wanted)),
      stat: () => this.#real('stat', path, () => file.stat()),
      truncate: (size) => this.#real('truncate', path, () => file.truncate(size)),
      datasync: () => this.#real('datasync', path, async () => void (this.sync && (await file.datasync()))),
      chmod: (bits) => this.#real('chmod', path, () => file.chmod(bits)),
      close: () => file.close(),
    }
  }

  lstat: FileSystem['lstat'] = (path) => this.#real('lstat', path, () => systemFiles.lstat(path))
  stat: FileSystem['stat'] = (path) => this.#real('stat', path, () => systemFiles.stat(path))
  mkdir: FileSystem['mkdir'] = (path, mode) => this.#real('mkdir', path, () => systemFiles.mkdir(path, mode))
  rename: FileSystem['rename'] = (from, to) => this.#real('rename', from, () => systemFiles.rename(from, to))
  unlink: FileSystem['unlink'] = (path) => this.#real('unlink', path, () => systemFiles.unlink(path))
  free: FileSystem['free'] = (path) => this.#real('free', path, () => systemFiles.free(path))
  readdir: FileSystem['readdir'] = (path) => this.#real('readdir', path, () => systemFiles.readdir(path))
  syncFolder: FileSystem['syncFolder'] = (path) =>
    this.#real('syncFolder', path, async () => void (this.sync && (await systemFiles.syncFolder(path))))
}

/** Calls of a disk that does not answer. */
export class Hang {
  /** Calls that wait now. */
  waiting = 0
  readonly #gate = Promise.withResolvers<void>()
  readonly #onRelease: () => void

  constructor(onRelease: () => void) {
    this.#onRelease = onRelease
  }

  async wait(): Promise<void> {
    this.waiting++
    await this.#gate.promise
    this.waiting--
  }

  release(): void {
    this.#onRelease()
    this.#gate.resolve()
  }
}

export function errno(code: string): Error {
  return Object.assign(new Error(`${code}: made by the test`), { code })
}
