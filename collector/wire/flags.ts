/** Flags of a process: bits of bpf/event.h by the words that Tetragon prints, in its order (docs/reference/records/process.md). */
import * as wire from './wire.ts'

export const PROCESS_FLAGS = {
  execve: wire.PROCESS_EXECVE,
  procFS: wire.PROCESS_PROCFS,
  errorEnvs: wire.PROCESS_ERROR_ENVS,
  truncArgs: wire.PROCESS_TRUNC_ARGS,
  miss: wire.PROCESS_MISS,
  errorFilename: wire.PROCESS_ERROR_FILENAME,
  errorArgs: wire.PROCESS_ERROR_ARGS,
  nocwd: wire.PROCESS_NO_CWD,
  rootcwd: wire.PROCESS_ROOT_CWD,
  errorCWD: wire.PROCESS_ERROR_CWD,
  clone: wire.PROCESS_CLONE,
  errorCgroupName: wire.PROCESS_ERROR_CGROUP_NAME,
  errorPathResolutionCwd: wire.PROCESS_ERROR_PATH_CWD,
  dataFilename: wire.PROCESS_DATA_FILENAME,
  dataArgs: wire.PROCESS_DATA_ARGS,
  /** Set by user space alone. */
  inInitTree: 0x200_0000,
} as const
