import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { printedRecords } from '../../support/containers/collector.ts'
import { linesOf } from '../../support/containers/loki.ts'

/** The output of the collector's debug exporter for one record. */
const record = (service: string, uid: string, body: string): string => `Logs\t{"resource logs": 1, "log records": 1}
ResourceLog #0
Resource attributes:
     -> service.name: Str(${service})
LogRecord #0
SeverityText: INFO
Body: Str(${body})
Attributes:
     -> tetragon.uid: Int(0)
     -> log.record.uid: Str(${uid})
Trace ID:
`

test('containers: finds the records that the collector printed, and no torn ones', () => {
  const one = { service: 'a', uid: 'e-1', body: '{"x":"(y)"}' }
  const two = { service: 'b', uid: 'e-2', body: '{}' }
  const whole = record('a', 'e-1', '{"x":"(y)"}')
  const rows = [
    { name: 'nothing', text: '', want: [] },
    { name: 'two services', text: whole + record('b', 'e-2', '{}'), want: [one, two] },
    { name: 'the same twice', text: whole + whole, want: [one, one] },
    {
      name: 'torn in its body',
      text: `${whole.slice(0, whole.indexOf('"(y)'))}\n${record('b', 'e-2', '{}')}`,
      want: [two],
    },
    { name: 'torn in its uid', text: whole.slice(0, whole.indexOf('e-1') + 2) + record('b', 'e-2', '{}'), want: [two] },
    { name: 'no body', text: '     -> log.record.uid: Str(e-1)\n', want: [] },
    { name: 'another log', text: 'info\tBody: Str(x)\ninfo\tlog.record.uid: Str(e-1)\n', want: [] },
  ]
  for (const { name, text, want } of rows) assert.deepEqual(printedRecords(text), want, name)
})

test('containers: reads the lines of an answer of Loki, and rejects other answers', async () => {
  const streams = (result: string): string =>
    `{"status":"success","data":{"resultType":"streams","result":[${result}]}}`
  const rows = [
    { name: 'none', status: 200, text: streams(''), want: [] },
    {
      name: 'two streams, one with metadata',
      status: 200,
      text: streams('{"stream":{},"values":[["1","x"],["2","y"]]},{"stream":{},"values":[["3","z",{"a":{}}]]}'),
      want: ['x', 'y', 'z'],
    },
    { name: 'refused', status: 400, text: 'parse error at line 1', want: /400 parse error/ },
    { name: 'a metric', status: 200, text: '{"data":{"resultType":"matrix","result":[]}}', want: /resultType/ },
    { name: 'a line that is no text', status: 200, text: streams('{"values":[["1",2]]}'), want: /values/ },
    { name: 'no JSON', status: 200, text: 'ready', want: /JSON/ },
  ]
  let answer = { status: 200, text: '' }
  let asked = new URL('http://x')
  const server = http.createServer((request, response) => {
    asked = new URL(request.url ?? '', 'http://x')
    response.writeHead(answer.status).end(answer.text)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server that listens
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    for (const { name, status, text, want } of rows) {
      answer = { status, text }
      const lines = linesOf(address, '{service_name="k"}', 400)
      if (want instanceof RegExp) await assert.rejects(lines, want, name)
      else assert.deepEqual(await lines, want, name)
      assert.equal(asked.pathname, '/loki/api/v1/query_range')
      assert.equal(asked.searchParams.get('query'), '{service_name="k"}')
      assert.match(asked.searchParams.get('start') ?? '', /^\d{19}$/)
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
