/** An HTTP server in a process of its own that answers 200 to every request and discards it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** Prints its port on a line; ends with its standard input. */
const SINK = `const s=require('http').createServer((q,r)=>{q.on('data',()=>{});q.on('end',()=>r.end())});
s.listen(0,'127.0.0.1',()=>console.log(s.address().port));process.stdin.on('end',()=>process.exit()).resume()`

export interface DiscardingSink extends Disposable {
  readonly url: string
}

/** Started and listening. */
export async function discardingSink(): Promise<DiscardingSink> {
  const child = spawn(process.execPath, ['-e', SINK], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [port] = await once(createInterface(child.stdout), 'line')
  return { url: `http://127.0.0.1:${port}/v1/logs`, [Symbol.dispose]: () => child.stdin.end() }
}
