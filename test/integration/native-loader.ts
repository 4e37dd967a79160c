/**
 * A process of its own for native-worker.test.ts. Arguments: object file, mode.
 *   load      print `ready`, then load, attach and close objects, several at once, until killed
 *   exit N    exit 0 after N ms, while it loads
 *   end       load and close one object, print the kind of its link: must end by itself
 */
import { kernelFunctionNames } from '../../native/index.ts'
import { SYMBOL, openFixture } from './native-fixture.ts'

const [path = '', mode = '', ms = '0'] = process.argv.slice(2)

/** Answers are awaited, closings are not. */
async function loadOnce(): Promise<string> {
  using object = await openFixture(path, 'kprobe')
  using link = await object.attach('handle_kprobe', [SYMBOL])
  return link.kind
}

if (mode === 'end') {
  process.stdout.write(`${await loadOnce()}\n`)
} else {
  if (mode === 'exit') setTimeout(() => process.exit(0), Number(ms))
  process.stdout.write('ready\n')
  for (;;) await Promise.all([loadOnce(), loadOnce(), kernelFunctionNames()])
}
