/**
 * Tetragon 1.x, measured once by this project with the same policy (security_file_permission, prefix /etc/, with the return
 * value) in the same kind of guest: 6.12, emulated, one CPU. Not measured again here, because emulated time differs
 * from machine to machine: only ratios are used, each against the bare pread of its own run.
 */
export const TETRAGON = {
  /** ns of a one-byte pread without any hook, in that run. */
  bareNs: 1600,
  /** ns added to a pread by its entry and its return program. */
  addedNs: { hit: 11_700 + 1_500, miss: 10_500 + 500 },
  /** ns per run by the kernel's statistics, entry + return program; by case of CASES. */
  runNs: { hit: 9201 + 2019, shallow: 8490 + 389, deep6: 9883 + 391, deep16: 12_686 + 392 },
} as const
