/**
 * A process of its own for native.test.ts. Arguments: object file, mode.
 *   hold    attach, watch the ring, print `ready`, live until killed
 *   exit    attach, watch, print `ready`, exit 0 with all of it open
 *   close   watch and close: must end by itself
 *   throw   a callback that throws: must end like an uncaught exception
 *   hit N   call the hooked function N times after a byte on stdin
 *   loop    call it from the first byte on stdin to the next; print that it began, then the number of calls
 */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'

import { watchRing } from '../../native/index.ts'
import { SYMBOL, bytesOf, hit, noMulti, openFixture } from './native-fixture.ts'

const [path = '', mode = '', times = '0'] = process.argv.slice(2)

if (mode === 'hit') {
  process.stdout.write('ready\n')
  await once(process.stdin, 'data')
  hit(Number(times))
  process.exit(0)
}

if (mode === 'loop') {
  process.stdout.write('ready\n')
  await once(process.stdin, 'data')
  const end = new AbortController()
  process.stdin.once('data', () => end.abort())
  process.stdout.write('began\n')
  let calls = 0
  for (; !end.signal.aborted; calls += 500) {
    hit(500)
    await setImmediate()
  }
  process.stdout.write(`${calls}\n`)
  process.exit(0)
}

const kind = (await noMulti(path)) === false ? 'kprobe.multi' : 'kprobe'
const object = await openFixture(path, kind, { constants: { wakeup: bytesOf(0, 8) } })
const ring = object.map('ring')
const watch = watchRing(ring, () => {
  if (mode === 'throw') throw new Error('thrown in the callback')
})
if (mode === 'close') {
  watch.close()
  watch.close()
} else {
  const link = await object.attach(kind === 'kprobe' ? 'handle_kprobe' : 'handle_multi', [SYMBOL])
  if (isMainThread) hit() // a worker may not set the mask; its test hits from outside
  process.stdout.write('ready\n')
  if (mode === 'exit') process.exit(0)
  // Held from here on: the garbage collector would close an unreferenced link.
  process.once('exit', () => link.close())
}
