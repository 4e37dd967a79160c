/** `npm test` in the folder of the package, with ktrail beside it: `npm install --save-dev /path/to/ktrail`. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Silence, contract, idsOf, testContext } from 'ktrail/testing'
import { createExporter } from './index.js'

contract('http-lines', async () => {
  let took = ''
  let failing = 0
  /** @type {Silence | undefined} */
  let silence
  const sink = createServer(async (request, response) => {
    const body = await Array.fromAsync(request).catch(() => [])
    await silence?.pass()
    if (failing-- > 0) return response.writeHead(503).end('not now')
    took += Buffer.concat(body)
    response.end()
  }).listen(0, '127.0.0.1')
  await once(sink, 'listening')
  return {
    exporter: await createExporter({ url: `http://127.0.0.1:${sink.address().port}` }, testContext()),
    ids: () => idsOf(took),
    fail: (calls) => (failing = calls),
    stall: () => (silence = new Silence()),
    [Symbol.dispose]() {
      sink.closeAllConnections()
      sink.close()
    },
  }
})
