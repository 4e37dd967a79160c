/** Flags of a process: bits of bpf/event.h by the words that Tetragon prints, in its order (docs/reference/records.md). */
import {
  PROCESS_CLONE,
  PROCESS_DATA_ARGS,
  PROCESS_DATA_FILENAME,
  PROCESS_ERROR_ARGS,
  PROCESS_ERROR_CGROUP_NAME,
  PROCESS_ERROR_CWD,
  PROCESS_ERROR_ENVS,
  PROCESS_ERROR_FILENAME,
  PROCESS_ERROR_PATH_CWD,
  PROCESS_EXECVE,
  PROCESS_MISS,
  PROCESS_NO_CWD,
  PROCESS_PROCFS,
  PROCESS_ROOT_CWD,
  PROCESS_TRUNC_ARGS,
} from './wire.ts'

export const PROCESS_FLAGS = {
  execve: PROCESS_EXECVE,
  procFS: PROCESS_PROCFS,
  errorEnvs: PROCESS_ERROR_ENVS,
  truncArgs: PROCESS_TRUNC_ARGS,
  miss: PROCESS_MISS,
  errorFilename: PROCESS_ERROR_FILENAME,
  errorArgs: PROCESS_ERROR_ARGS,
  nocwd: PROCESS_NO_CWD,
  rootcwd: PROCESS_ROOT_CWD,
  errorCWD: PROCESS_ERROR_CWD,
  clone: PROCESS_CLONE,
  errorCgroupName: PROCESS_ERROR_CGROUP_NAME,
  errorPathResolutionCwd: PROCESS_ERROR_PATH_CWD,
  dataFilename: PROCESS_DATA_FILENAME,
  dataArgs: PROCESS_DATA_ARGS,
  /** Set by user space alone. */
  inInitTree: 0x200_0000,
} as const
