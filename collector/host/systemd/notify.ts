/** Reports the state of the service to systemd (sd_notify) if requested. The unit needs NotifyAccess=main, which is the default. */
import { oneLine } from '../../../config/base/quoting.ts'
import { sendDatagram } from '../../../native/index.ts'

export interface NotifyOptions {
  /** Default: this process's. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly pid?: number
  /** For failed reports. */
  readonly warn: (message: string) => void
}

const USEC_A_MSEC = 1000
const NSEC_A_USEC = 1000n
/** Additional time for the end of the process, after a wait. */
const MORE_MS = 10_000
/** For the stop of the earlier agent and the rest of the next one's start. */
const HANDOVER_MS = 180_000

export class SystemdNotify implements Disposable {
  readonly #options: NotifyOptions
  readonly #socket: string | undefined
  readonly #watchdogMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(options: NotifyOptions) {
    const { env = process.env, pid = process.pid } = options
    this.#options = options
    this.#socket = env['NOTIFY_SOCKET']
    const { WATCHDOG_PID: of, WATCHDOG_USEC: usec } = env
    this.#watchdogMs = of === undefined || Number(of) === pid ? Number(usec ?? 0) / USEC_A_MSEC : 0
  }

  /** Also starts to answer the watchdog, while `alive` returns true: four times as often as required, so that late answers matter little. */
  ready(alive: () => boolean): void {
    this.reloaded('')
    if (!(this.#watchdogMs > 0)) return
    this.#send(`WATCHDOG_USEC=${this.#watchdogMs * USEC_A_MSEC}`)
    this.#timer = setInterval(() => {
      if (alive()) this.#send('WATCHDOG=1')
    }, this.#watchdogMs / 4).unref()
  }

  /** The start failed, and the agent ends only after this time, by which its time to start is extended. `status`: what `systemctl status` shows. */
  waiting(ms: number, status: string): void {
    this.#send(`EXTEND_TIMEOUT_USEC=${(ms + MORE_MS) * USEC_A_MSEC}\nSTATUS=${oneLine(status)}`)
  }

  /** The config is being read again. Shown as `reloading` until `reloaded`; for Type=notify-reload with the time that it requires. */
  reloading(): void {
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / NSEC_A_USEC}`)
  }

  /** `status`: what `systemctl status` shows from now on. */
  reloaded(status: string): void {
    this.#send(`READY=1\nSTATUS=${oneLine(status)}`)
  }

  stopping(): void {
    this.#send('STOPPING=1')
  }

  /** The process is the service's main one from now on: it tells when it is ready, and answers the watchdog from then on. The status was of its start. */
  handingOver(pid: number): void {
    clearInterval(this.#timer)
    const watchdog = this.#watchdogMs > 0 ? `\nWATCHDOG_USEC=${HANDOVER_MS * USEC_A_MSEC}` : ''
    this.#send(`MAINPID=${pid}${watchdog}\nSTATUS=`)
  }

  /** `systemctl status` shows the text. */
  status(text: string): void {
    this.#send(`STATUS=${oneLine(text)}`)
  }

  #send(state: string): void {
    if (this.#socket === undefined) return
    try {
      sendDatagram(this.#socket, state)
    } catch (error) {
      this.#options.warn(
        `cannot notify systemd "${oneLine(state)}": ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
