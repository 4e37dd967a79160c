// @ts-check
/**
 * An exporter for ktrail: JSON lines by HTTP POST, as the HTTP sources of Vector, Fluent Bit and VictoriaLogs take them.
 *
 *   web: { type: npm:ktrail-exporter-http-lines, options: { url: http://vector:8080, token: "${file:/run/token}" } }
 */

/** Version of the interface. ktrail refuses a package without it. */
export const ktrail = 1

/** @type {import('ktrail/exporter').CreateExporter} */
export function createExporter({ url, token }) {
  // Options come unchecked from the config. An Error keeps the agent from starting and is reported.
  if (typeof url !== 'string' || !URL.canParse(url)) throw new Error(`options.url: expected a URL, got ${url}`)
  const headers = { 'content-type': 'application/x-ndjson', ...(token ? { authorization: `Bearer ${token}` } : {}) }
  let open = false
  return {
    type: 'http-lines',
    encoding: 'json', // an event is a JSON object and a line feed
    async start() {
      open = true // without contacting the sink, which may be down for now
    },
    async send(batch, signal) {
      if (!open) return { status: 'retryable', error: new Error('the exporter is not open') }
      try {
        const body = Buffer.concat(batch.parts.map(({ bytes }) => bytes))
        return outcomeOf(await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' }))
      } catch (cause) {
        return { status: 'retryable', error: new Error(`cannot reach ${url}`, { cause }) }
      }
    },
    async stop() {
      open = false
    },
  }
}

/** @param {Response} answer @returns {Promise<import('ktrail/exporter').Outcome>} */
async function outcomeOf(answer) {
  const { ok, status } = answer
  const error = new Error(`HTTP ${status}: ${(await answer.text()).slice(0, 200)}`)
  if (ok) return { status: 'delivered' }
  if (status === 400 || status === 413) return { status: 'rejected', reason: `http_${status}`, error } // counted, gone
  if (status < 500 && status !== 429) return { status: 'hold', error } // needs manual action; kept, retried slowly
  const seconds = Number(answer.headers.get('retry-after')) // else the agent waits longer each time
  return { status: 'retryable', error, ...(seconds > 0 ? { afterMs: seconds * 1000 } : {}) }
}
