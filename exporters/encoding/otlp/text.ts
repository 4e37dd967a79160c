/** An event as one line for people: the body of records with `body: text`. */
import { changeText } from '../../contract/described.ts'
import type { Event, HookEvent, Process } from '../../contract/event.ts'
import { argumentText, callsText } from '../arguments.ts'
import { accessPlan, fileAccess, isRefused } from '../files/access.ts'

/** A readable line: `exec /usr/bin/cat /etc/passwd`, `read /usr/bin/cat /etc/shadow`, `open /usr/bin/cat /etc/shadow denied`. */
export function summary(event: Event): string {
  switch (event.type) {
    case 'process_exec':
      return `exec ${commandLine(event.process)}`
    case 'process_exit':
      return `exit ${commandLine(event.process)} ${event.signal === '' ? event.status : event.signal}`
    case 'process_kprobe':
    case 'process_lsm':
    case 'process_tracepoint':
      return callText(event)
    case 'agent_run':
      return `run ${event.phase}`
    case 'agent_change':
      return changeText(event)
    case 'events_lost': {
      const { stage, exporter, reason } = event.loss
      return ['lost', event.count, stage, exporter, reason].filter((word) => word !== '').join(' ')
    }
  }
}

/** Shows the access in words instead of the function and the numbers behind it. */
function callText({ hook, process, args, returned, aggregate }: HookEvent): string {
  const plan = accessPlan(hook)
  const access = fileAccess(plan, args)
  let text = `${access ?? hook.functionName} ${process.binary}`
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]
    if (argument === undefined || (access !== undefined && (i === plan.at || i === plan.flagsAt))) continue
    const shown = argumentText(argument)
    if (shown !== '') text += ` ${shown}`
  }
  if (isRefused(plan, access, args, returned)) text += ' denied'
  return aggregate === undefined ? text : `${text} ${callsText(aggregate)}`
}

/** The program and its arguments. */
export function commandLine(process: Process): string {
  return process.arguments === '' ? process.binary : `${process.binary} ${process.arguments}`
}
