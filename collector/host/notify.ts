/** Reports the state of the service to systemd (sd_notify), if it asked for it. */
import { spawn } from 'node:child_process'

/**
 * Node has no datagram Unix sockets, so systemd's own tool speaks; the unit needs NotifyAccess=all. Without
 * NOTIFY_SOCKET nothing happens, and a failure costs no more than the notice.
 */
export function notifySystemd(state: 'ready' | 'stopping', warn: (message: string) => void): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return
  const child = spawn('systemd-notify', [`--${state}`, `--pid=${process.pid}`], { stdio: 'ignore' })
  child.on('error', (error) => warn(`cannot notify systemd "${state}": ${error.message}`))
  child.unref()
}
