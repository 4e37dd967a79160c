/** Types of the addon's exports: objects, maps, links, bytes. It has no policies and no events. */

/**
 * How a program is bound to a kernel function or to a tracepoint. The symbol of a tracepoint is `subsystem:event`; a `raw_tracepoint` has
 * only the event. `run`: not bound; `BpfObject.run` runs it.
 */
export type AttachKind =
  | 'kprobe.multi'
  | 'kretprobe.multi'
  | 'kprobe.session'
  | 'kprobe'
  | 'kretprobe'
  | 'fentry'
  | 'fexit'
  | 'fmod_ret'
  | 'tp_btf'
  | 'tracepoint'
  | 'raw_tracepoint'
  | 'run'

/** A resource with an end. A second `close` does nothing; unreferenced, it is closed by the garbage collector. */
export interface Closable extends Disposable {
  close(): void
}

export interface MapInfo {
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  /** CPUs whose values a per-CPU map returns, 1 for other maps. */
  readonly perCpu: number
}

export interface MapPart {
  readonly keys: Buffer
  readonly values: Buffer
  readonly count: number
  readonly next: Buffer | undefined
}

/** A BPF map. Keys and values are exact-size Buffers; a per-CPU value is `perCpu` values each padded to 8 bytes. */
export interface BpfMap extends Closable {
  readonly info: MapInfo
  lookup(key: Uint8Array): Buffer | undefined
  /** The values of several keys, for which the priority of the thread changes once. */
  lookupAll(keys: readonly Uint8Array[]): Array<Buffer | undefined>
  /** `exclusive` fails with EEXIST (returns false) instead of replacing. */
  update(key: Uint8Array, value: Uint8Array, exclusive?: boolean): boolean
  /** false when there was no such key. */
  delete(key: Uint8Array): boolean
  /**
   * Some entries of a hash map, up to about `room`, back to back: a small part of a large map, for callers with little time. Begins at
   * the start without `from`, else at `next` of the call before; undefined as `next` is the end. A permanent entry is seen once.
   */
  part(room: number, from?: Uint8Array): MapPart
  /**
   * Ends writes of every process for good (BPF_MAP_FREEZE); programs still write, and reads still work. A later `update`, `delete`
   * or `freeze` throws NOT_PERMITTED. Throws MAP_FAILED while the map is mapped for writing.
   */
  freeze(): void
}

export interface LinkStats {
  /** Number of runs that the kernel skipped (recursion or exhausted return instances), as far as this kernel shows it. */
  readonly missed: bigint
  /** run_cnt and run_time_ns; 0 while kernel.bpf_stats_enabled is 0. */
  readonly runs: bigint
  readonly runNs: bigint
}

/** Numbers that the kernel gives to links and programs; `program` is 0 of a perf event before Linux 5.15, which is no link. */
export interface LinkIdentity {
  readonly id: number
  readonly program: number
}

export interface Link extends Disposable {
  readonly kind: AttachKind
  /**
   * Reads the descriptor's present identity from the kernel. Zeros if it is neither a link nor, before Linux 5.15, a perf event: it was closed
   * behind the back of this object.
   */
  identity(): LinkIdentity
  stats(): LinkStats
  /**
   * Detaches, on the thread that loads and attaches, after all earlier requests: the kernel waits until no CPU runs the program any more.
   * Until then the program may run. `closed()` resolves after it. A second call does nothing.
   */
  close(): void
}

export interface ProgramSpec {
  readonly name: string
  /** Kernel function for fexit, fmod_ret and tp_btf programs; set before load. */
  readonly target?: string
  /** The kind it will be attached as; decides the expected attach type. */
  readonly kind: AttachKind
}

export interface ObjectOptions {
  /** Programs to load; every other program of the file is left out. */
  readonly programs: readonly ProgramSpec[]
  /** Initial bytes of `const volatile` variables, by name. Length must equal the variable's size. */
  readonly constants?: Readonly<Record<string, Uint8Array>>
  /** Maps taken from an object that is already loaded, by name. */
  readonly sharedMaps?: Readonly<Record<string, BpfMap>>
  /** max_entries by map name. A map without one, here and in the file, is not made. */
  readonly mapSizes?: Readonly<Record<string, number>>
  /** Bytes of a value by map name, in place of those in the file, for maps whose definition has sizes and no types. */
  readonly valueSizes?: Readonly<Record<string, number>>
  /** Flags of BPF_MAP_CREATE by map name, in place of those in the file. */
  readonly mapFlags?: Readonly<Record<string, number>>
}

export interface BpfObject extends Disposable {
  map(name: string): BpfMap
  /**
   * Attaches a loaded program, on the thread that loads; also when the object is closed meanwhile. `symbols` for the multi kinds, one symbol
   * otherwise. Rejects with NativeError NO_PROGRAM, NO_SYMBOL, ATTACH_FAILED, UNSUPPORTED, NOT_PERMITTED, BAD_ARGUMENT, CLOSED.
   */
  attach(program: string, symbols?: readonly string[]): Promise<Link>
  /**
   * Stores a loaded program in a program array and replaces an earlier one: from the next call on, `bpf_tail_call` at this index runs it. Empty a
   * slot with `map.delete`. The kernel empties the whole array when its last BpfMap and object are closed. Throws NativeError MAP_FAILED, for
   * instance where type, attach kind or target of the programs differ; NO_PROGRAM, BAD_ARGUMENT.
   */
  put(map: BpfMap, index: number, program: string): void
  /**
   * Runs a loaded program of kind `run` in this thread, with at most twelve arguments: u32 as number, u64 as bigint. Returns the program's result
   * (BPF_PROG_TEST_RUN of raw tracepoint programs, Linux 5.10). Throws NativeError UNSUPPORTED, NOT_PERMITTED, NO_PROGRAM, BAD_ARGUMENT.
   */
  run(program: string, ...values: ReadonlyArray<number | bigint>): number
  /** Bytes that the kernel has reserved for the loaded programs and for the maps, but for maps with the names `others`. */
  memory(others: readonly string[]): number
  /** Unloads, like a link's `close`; its maps and links, once taken, live on until they are closed. */
  close(): void
}

export interface RingReader extends Disposable {
  /**
   * Moves records now in the ring into `into`, back to back, each padded to 8 bytes (its first u32 is its size).
   * Returns bytes written; 0 when the ring is empty. Never blocks. `into` stays the caller's.
   * Stops early when the room left is smaller than a largest record (64 KiB).
   * Throws MAP_FAILED when the kernel refuses to map the next part of the ring; the records stay there.
   */
  read(into: Uint8Array): number
  /** Bytes now waiting in the ring. */
  available(): number
  /** Records thrown away because their first u32 was no size within the record. */
  malformed(): number
  close(): void
}

/** A folder's entries on its own file system. Names are bytes, each with a NUL behind it. */
export interface FolderRead {
  /** Entries of any type. */
  readonly files: number
  readonly folders: Buffer
  /** Files with several links. */
  readonly linked: Buffer
}

/** Digest of the content of a regular file at one moment, or why there is none; `sec`, `nsec`: the last change before it (ctime). */
export type FileDigest =
  | { readonly sha256: string; readonly sizeBytes: number; readonly sec: number; readonly nsec: number }
  | { readonly missing: 'unreadable' | 'no_regular_file' | 'too_large' | 'changing' }

/**
 * A thread for calls that a file system may never answer: one task at a time, in their order. Paths are bytes. Neither `close` nor the end
 * of the process waits for it. Tasks that are not done at `close` never settle. Each call rejects with NativeError BAD_ARGUMENT, CLOSED.
 */
export interface PathWorker extends Closable {
  /** Symbolic links are not followed. Rejects with NativeError OPEN_FAILED, NOT_PERMITTED. */
  readFolder(path: Uint8Array): Promise<FolderRead>
  /** The target of a symbolic link; undefined for other paths. */
  readLink(path: Uint8Array): Promise<string | undefined>
  /** A descriptor without any right to the content (O_PATH). Give it back to `release`. Rejects with NativeError OPEN_FAILED, NOT_PERMITTED. */
  find(path: Uint8Array): Promise<number>
  release(fd: number): Promise<void>
  /** Digest of up to 64 MiB, if the file does not change meanwhile. Takes `fd`, that of `find`, and releases it. */
  digest(fd: number, maxBytes: number): Promise<FileDigest>
  /** The beginning of a file, at most `maxBytes`. Rejects with NativeError OPEN_FAILED, NOT_PERMITTED. */
  readStart(path: Uint8Array, maxBytes: number): Promise<Buffer<ArrayBuffer>>
  /**
   * Leaves the thread to the running task, which has no answer. Later tasks have another thread. The task still settles when the kernel
   * returns, and no longer keeps the process alive.
   */
  abandon(): void
}

/**
 * Types as normalised C text: `struct file *`, `const struct path *`, `char *const`, `unsigned long`, `size_t`, `void`;
 * pointers to functions `int (*)(void *)`. Integers in clang's spelling (`unsigned long`, `long long`, `bool`) whatever
 * the kernel's compiler was. A `base` is the same with every typedef resolved: `size_t` → `unsigned long`.
 */
export interface KernelFunction {
  readonly returns: string
  readonly returnsBase: string
  /** The module of the function; absent for a function of vmlinux. */
  readonly module?: string
  readonly params: readonly KernelParam[]
}

/** Place of a member, relative to the struct's address. */
export interface KernelMember {
  /** Each offset but the last leads to a pointer to follow; the last leads to the member. Empty with a problem. */
  readonly offsets: readonly number[]
  /** The member's type, as in a KernelFunction. */
  readonly base: string
  readonly sizeBytes: number
  readonly signed: boolean
  /** First bit of a bit field, from the last offset on, and its width; 0 for other members. */
  readonly bit: number
  readonly bits: number
  /** Reason why the place is missing, such as `struct file has no member x`; else ''. */
  readonly problem: string
}

export interface KernelParam {
  /** '' where BTF has none. */
  readonly name: string
  /** `...` for the variable part of a variadic function. */
  readonly type: string
  readonly base: string
  /** 8 for pointers, 0 for void. */
  readonly sizeBytes: number
}
