/** Loaded into an agent by `--import`: on SIGUSR2 it closes the descriptors of all links, and of perf events, which are links since Linux 5.15. */
import { closeSync, readdirSync, readlinkSync } from 'node:fs'

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

process.on('SIGUSR2', () => {
  for (const fd of readdirSync('/proc/self/fd')) {
    if (/^anon_inode:(\[?bpf.link|\[perf_event\])/.test(linkOf(fd))) closeSync(Number(fd))
  }
})
