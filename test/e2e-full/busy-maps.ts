/**
 * Changes, reads and removes entries of a map until its standard input ends. Prints a line at its start, and the number of these accesses at its
 * end.
 */
import { setImmediate } from 'node:timers/promises'
import { builtFile, openObject } from '../../native/index.ts'

const BATCH = 1000

using object = await openObject(builtFile('process.bpf.o'), { programs: [] })
using map = object.map('processes')
const key = Buffer.alloc(map.info.keySize, 1)
const value = Buffer.alloc(map.info.valueSize)
let accesses = 0
process.stdin.resume()
process.stdout.write('begun\n')
while (!process.stdin.readableEnded) {
  for (let i = 0; i < BATCH; i++) {
    map.update(key, value)
    map.lookup(key)
    map.delete(key)
  }
  accesses += 3 * BATCH
  await setImmediate()
}
process.stdout.write(`${accesses}\n`)
