/** A process of its own for native-types.test.ts: loads test/fixtures/bpf/types.bpf.c, and prints its answers as JSON. */
import { openObject } from '../../native/index.ts'

const ANSWERS = 8

using object = await openObject(process.argv[2] ?? '', { programs: [{ name: 'answer', kind: 'run' }] })
process.stdout.write(JSON.stringify(Array.from({ length: ANSWERS }, (_, i) => object.run('answer', i))))
