/** Reports the state of the service to systemd (sd_notify), if it asked for it. */
import { spawn } from 'node:child_process'

/**
 * Runs systemd-notify, because Node has no Unix datagram sockets; the unit needs NotifyAccess=all. Does nothing without NOTIFY_SOCKET; a
 * failure is only logged.
 */
export function notifySystemd(state: 'ready' | 'stopping', warn: (message: string) => void): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return
  const child = spawn('systemd-notify', [`--${state}`, `--pid=${process.pid}`], { stdio: 'ignore' })
  child.on('error', (error) => warn(`cannot notify systemd "${state}": ${error.message}`))
  child.unref()
}
