/** Sinks in processes of their own, which accept everything and discard it: an HTTP server, and a broker of the topic `events`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** Prints its port on a line; ends with its standard input. */
const SINK = `const s=require('http').createServer((q,r)=>{q.on('data',()=>{});q.on('end',()=>r.end())});
s.listen(0,'127.0.0.1',()=>console.log(s.address().port));process.stdin.on('end',()=>process.exit()).resume()`

/** Prints its address on a line; ends with its standard input. */
const BROKER = `import { FakeBroker } from ${JSON.stringify(
  new URL('../../unit/exporters/sinks/kafka/support/fake-broker.ts', import.meta.url),
)};
console.log((await FakeBroker.start()).address);process.stdin.on('end',()=>process.exit()).resume()`

export interface DiscardingSink extends Disposable {
  readonly url: string
}

/** Started and listening. */
export async function discardingSink(): Promise<DiscardingSink> {
  const { line: port, end } = await started(SINK)
  return { url: `http://127.0.0.1:${port}/v1/logs`, [Symbol.dispose]: end }
}

export async function discardingBroker(): Promise<Disposable & { readonly address: string }> {
  const { line: address, end } = await started(BROKER, '--disable-warning=ExperimentalWarning', '--input-type=module')
  return { address, [Symbol.dispose]: end }
}

async function started(code: string, ...flags: string[]): Promise<{ readonly line: string; readonly end: () => void }> {
  const child = spawn(process.execPath, [...flags, '-e', code], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await once(createInterface(child.stdout), 'line')
  return { line, end: () => child.stdin.end() }
}
