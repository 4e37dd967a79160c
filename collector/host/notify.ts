/** Tells systemd how the service stands (sd_notify), when it asked to be told. */
import { spawn } from 'node:child_process'

/**
 * Node has no datagram Unix sockets, so systemd's own tool speaks; the unit needs NotifyAccess=all. Without
 * NOTIFY_SOCKET nothing happens, and a failure costs no more than the notice.
 */
export function notifySystemd(state: 'ready' | 'stopping', warn: (message: string) => void): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return
  const child = spawn('systemd-notify', [`--${state}`, `--pid=${process.pid}`], { stdio: 'ignore' })
  child.on('error', (error) => warn(`cannot tell systemd "${state}": ${error.message}`))
  child.unref()
}
