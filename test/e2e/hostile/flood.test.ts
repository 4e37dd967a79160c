/** Floods by an unprivileged user, with the kernel's default preemption. test/e2e-full has them under full preemption. */
import { cannotRun } from '../support/agent.ts'
import { floodSuite } from './support/flood.ts'

const skip = cannotRun()
if (skip !== false) console.log(`flood: skipped: ${skip}`)

floodSuite('flood', skip)
