/** Of a file among the arguments of an event. */

/** What the kernel knows of a file beside its path. */
export interface FileDetails {
  /** Absent while there is no file of this name yet. */
  readonly content:
    | {
        readonly sizeBytes: bigint | number
        /** When the inode changed last (ctime), wall clock. Absent where the file system has no date for it. */
        readonly changed: { readonly sec: number; readonly nsec: number } | undefined
        readonly generation: number
        readonly links: number
      }
    | undefined
  /** As in /proc/PID/mountinfo; 0: not known. */
  readonly mountId: number
  /** The mount is in no mount namespace that a task could be in. */
  readonly detached: boolean
  /** Of a file of overlayfs: what has its content. */
  readonly overlay: { readonly upper: boolean; readonly inode: bigint | number; readonly device: number } | undefined
  /** The path in the policy that the file was found by, with SameFile or UnderDir. */
  readonly named: string | undefined
  /** Of a hook that asks for it. */
  readonly hash: AskedHash | undefined
}

/** Filled in after the call, before exporters see the event. */
export interface AskedHash {
  readonly maxBytes: number
  /** Undefined until it is known. */
  result: FileHash | undefined
}

/** Of the whole content at one moment after the call; `changed`: when the inode had changed last (ctime) at that moment. Or why there is none. */
export type FileHash =
  | {
      readonly sha256: string
      readonly sizeBytes: number
      readonly changed: { readonly sec: number; readonly nsec: number }
    }
  | { readonly missing: HashMissing }

export type HashMissing =
  | 'no_path'
  | 'not_found'
  | 'no_regular_file'
  | 'unreadable'
  | 'too_large'
  | 'changing'
  | 'busy'
  | 'late'
  | 'unanswered'
