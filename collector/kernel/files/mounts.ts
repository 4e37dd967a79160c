/** Finds the mount of a path, in `/proc/PID/mountinfo`. Paths are bytes, as latin1 texts. */

export interface Mount {
  readonly point: string
  /** Device of its file system, as `major:minor`; bind mounts of one file system have the same. */
  readonly device: string
}

/** Mounts in the order of the file, without symbolic links in their points (fs/proc_namespace.c: show_mountinfo). */
export function mountsOf(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [, , device, , point] = line.split(' ')
    return device === undefined || point === undefined ? [] : [{ device, point: unescaped(point) }]
  })
}

/** Spaces, tabs, line feeds and backslashes are octal numbers. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/** The mount of an absolute path without symbolic links. If several are at one place, the last one covers the others. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  let found: Mount | undefined
  for (const mount of mounts) {
    const { point } = mount
    const isAbove = point === '/' || path === point || path.startsWith(`${point}/`)
    if (isAbove && point.length >= (found?.point.length ?? 0)) found = mount
  }
  return found
}
