/** Details of a file among the arguments of an event. */

/** The kernel's details of a file beside its path. */
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
  /** No task can be in the mount's namespace. */
  readonly detached: boolean
  /** For a file of overlayfs: the layer and inode that have its content. */
  readonly overlay: { readonly upper: boolean; readonly inode: bigint | number; readonly device: number } | undefined
  /** The path in the policy that the file was found by, with SameFile or UnderDir. */
  readonly named: string | undefined
  /** Present if the hook requests it. */
  readonly hash: AskedHash | undefined
}

/** Filled in after the call, before exporters see the event. */
export interface AskedHash {
  readonly maxBytes: number
  /** Undefined until it is known. */
  result: FileHash | undefined
}

/** Hash of the whole content at one moment after the call, or why there is none; `changed`: the inode's last change before it (ctime). */
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
