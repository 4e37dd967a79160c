/**
 * The floods of test/e2e/hostile under full preemption, where any of our BPF programs may be preempted in the middle, by that of another attacker: all
 * attackers at once. KTRAIL_LONG=1: one after the other.
 */
import { floodSuite } from '../e2e/hostile/support/flood.ts'
import { cannotPreempt } from './support.ts'
import { LONG } from '../support/long.ts'

const skip = cannotPreempt()
if (skip !== false) console.log(`flood: skipped: ${skip}`)

floodSuite('flood under full preemption', skip, !LONG)
