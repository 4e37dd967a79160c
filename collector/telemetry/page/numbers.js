/** The numbers of /status as tiles, tables and cards. */
import { breakable, brief, bytes, clock, count, duration, make, rate, update, visible } from './show.js'

const at = (id) => document.getElementById(id)
const SVG = 'http://www.w3.org/2000/svg'
/** Points of the curve: two minutes. */
const POINTS = 60

/** Losses when the page was opened, and the status before this one, for rates. */
let first
let before
let curve = []

/** Shows one answer of /status. */
export function showStatus(status) {
  if (before?.epoch !== status.epoch) {
    first = status
    before = undefined
    curve = []
  }
  const seconds = before === undefined ? 0 : status.uptime_seconds - before.uptime_seconds
  // The agent makes a status once a second; an older one is the same.
  if (before !== undefined && seconds <= 0) return
  const perSecond = (of) => (before === undefined ? undefined : Math.max(0, of(status) - of(before)) / seconds)
  document.title = `${status.ready ? '' : '⚠ '}ktrail ${visible(status.node_name, 60)}`
  at('node').textContent = visible(status.node_name, 100)
  showState(status)
  showTiles(status, perSecond)
  showTypes(status, perSecond)
  showLosses(status)
  update(at('senders'), ...cards(status, perSecond))
  update(at('list'), policies(status, perSecond))
  update(
    at('policy-names'),
    status.policies.map(({ name }) => make('option', { value: name })),
  )
  update(
    at('agent'),
    `ktrail ${status.version}, Node ${status.node}, Linux ${status.kernel}. Up ${duration(status.uptime_seconds)}, ` +
      `${bytes(status.resident_bytes)} of memory. Updated ${clock(new Date())}.`,
  )
  before = status
}

function showState({ ready, readiness, tampering, exporters }) {
  const degraded = exporters.some(({ state }) => ['warn', 'bad'].includes(LOOKS[state]))
  at('state').className = `badge ${!ready ? 'bad' : degraded ? 'warn' : 'good'}`
  update(at('state'), !ready ? 'Not ready' : degraded ? 'Degraded' : 'Ready')
  const [summary, ...notes] = ready ? readiness : [undefined, ...readiness]
  at('state').title = summary ?? ''
  if (notes.length === 0) return update(at('notice'))
  const heading = !ready ? 'The agent is not ready:' : degraded ? 'The agent works, but:' : 'Ready, with notes:'
  const lines = notes.map((line) => make('li', {}, visible(line, 1000)))
  update(
    at('notice'),
    make(
      'div',
      { class: `notice ${ready && tampering.length === 0 ? 'warn' : 'bad'}` },
      heading,
      make('ul', {}, lines),
    ),
  )
}

function showTiles(status, perSecond) {
  const now = perSecond(made)
  if (now !== undefined) curve = [...curve, now].slice(-POINTS)
  const held = sum(status.exporters.map((exporter) => exporter.held_events))
  const well = status.exporters.filter(({ state }) => state === 'healthy').length
  const total = status.exporters.length
  const enabled = status.policies.filter(({ state }) => state === 'enabled').length
  const wanted = status.policies.filter(({ state }) => state !== 'disabled').length
  const lost = sum(losses(status).map(({ n }) => n))
  update(
    at('tiles'),
    tile('Events', rate(now), `${brief(made(status))} since the start`, '', sparkline()),
    tile('Lost', brief(lost), lost === 0 ? 'nothing so far' : 'see Losses', lost === 0 ? 'good' : 'bad'),
    tile('Waiting', brief(held), 'events in queues and spools', ''),
    tile('Exporters', `${well} of ${total}`, 'healthy', well === total ? 'good' : 'warn'),
    tile('Policies', `${enabled} of ${wanted}`, 'enabled', enabled === wanted ? 'good' : 'warn'),
  )
}

function tile(name, value, note, look, extra) {
  return make(
    'div',
    { class: 'tile' },
    make('dt', {}, name),
    make('dd', { class: `value ${look}` }, value),
    make('dd', { class: 'faint' }, note),
    extra,
  )
}

/** Decoration: the number beside it has the same information. */
function sparkline() {
  if (curve.length < 2) return undefined
  const most = Math.max(...curve, 1)
  const points = curve.map((n, i) => `${(i * 100) / (POINTS - 1)},${(29 - (n / most) * 26).toFixed(1)}`).join(' ')
  const svg = document.createElementNS(SVG, 'svg')
  const line = document.createElementNS(SVG, 'polyline')
  for (const [key, value] of [
    ['viewBox', '0 0 100 30'],
    ['preserveAspectRatio', 'none'],
    ['aria-hidden', 'true'],
  ])
    svg.setAttribute(key, value)
  line.setAttribute('points', points)
  line.setAttribute('vector-effect', 'non-scaling-stroke')
  svg.append(line)
  return make('dd', { 'aria-hidden': 'true' }, svg)
}

function showTypes(status, perSecond) {
  const types = [...new Set(status.events.map(({ type }) => type))]
  const rows = types.map((type) => {
    const of = ({ events }) => sum(events.filter((row) => row.type === type).map((row) => row.count))
    return [type, rate(perSecond(of)), count(of(status))]
  })
  update(
    at('types'),
    made(status) === 0
      ? make('p', {}, 'No events yet. Run a command on this host: each new process is an event.')
      : table(['Type', '#Now', '#Since the start'], rows),
  )
}

function showLosses(status) {
  const opened = new Map(losses(first).map(({ where, reason, n }) => [`${where} ${reason}`, n]))
  const rows = losses(status)
    .filter(({ n }) => n > 0)
    .map(({ where, reason, n }) => {
      const since = n - (opened.get(`${where} ${reason}`) ?? 0)
      return [
        visible(where),
        breakable(reason),
        count(n),
        make('span', { class: since > 0 ? 'bad' : 'faint' }, `+${count(since)}`),
      ]
    })
  update(
    at('lost'),
    rows.length === 0
      ? make('p', { class: 'good' }, '✓ Nothing was lost, dropped or rejected since the start.')
      : table(['Where', 'Reason', '#Events', '#Since opened'], rows),
  )
}

/** All losses of the agent and its exporters. */
function losses({ lost, exporters }) {
  return [
    ...lost.map(({ hook, reason, count: n }) => ({ where: hook === '*' ? 'kernel to agent' : hook, reason, n })),
    ...exporters.flatMap(({ name, dropped, rejected }) => [
      ...Object.entries(dropped).map(([reason, n]) => ({ where: `exporter ${name}`, reason: `dropped: ${reason}`, n })),
      ...Object.entries(rejected).map(([reason, n]) => ({
        where: `exporter ${name}`,
        reason: `rejected: ${reason}`,
        n,
      })),
    ]),
  ]
}

const LOOKS = {
  healthy: 'good',
  starting: '',
  draining: '',
  retrying: 'warn',
  stopped: 'warn',
  hold: 'bad',
  failed: 'bad',
}

function cards(status, perSecond) {
  return status.exporters.map((exporter) => {
    const { name, type, state, spool, last_error: error } = exporter
    const of = ({ exporters }) => exporters.find((one) => one.name === name)?.delivered ?? 0
    const label = visible(name, 100)
    return make(
      'article',
      { 'aria-label': `Exporter ${label}` },
      make(
        'header',
        {},
        make('h3', {}, label),
        make('span', { class: 'faint' }, type),
        make('span', { class: `badge ${LOOKS[state] ?? ''}` }, state === 'hold' ? 'needs manual action' : state),
      ),
      make(
        'dl',
        {},
        fact('Delivered', `${count(exporter.delivered)}, ${rate(perSecond(of))}`),
        fill(`Queue of ${label}`, 'Queue', exporter.queue_bytes, exporter.queue_limit_bytes, exporter.queue_events),
        spool === undefined
          ? undefined
          : fill(`Spool of ${label}`, 'Spool', spool.bytes, spool.limit_bytes, spool.events),
        exporter.oldest_age_ms > 5000 ? fact('Oldest event waits', duration(exporter.oldest_age_ms / 1000)) : undefined,
        exporter.retry_wait_ms > 0 ? fact('Next retry within', duration(exporter.retry_wait_ms / 1000)) : undefined,
        [error, spool?.last_error]
          .filter((text) => text !== undefined && text !== '')
          .map((text) => [
            make('dt', {}, LOOKS[state] === 'good' ? 'Last error' : 'Error'),
            make('dd', { class: `error ${LOOKS[state] === 'good' ? 'faint' : 'bad'}` }, visible(text, 1000)),
          ]),
      ),
    )
  })
}

function fact(term, value) {
  return [make('dt', {}, term), make('dd', {}, value)]
}

function fill(name, term, used, limit, events) {
  const share = limit > 0 ? used / limit : 0
  const percent = used > 0 && share < 0.01 ? '< 1 %' : `${Math.round(share * 100)} %`
  const meter = { 'aria-label': name, min: 0, max: 100, low: 50, high: 80, optimum: 0, value: (share * 100).toFixed(1) }
  return [
    make('dt', {}, term),
    make('dd', {}, `${percent} of ${bytes(limit)}, ${count(events)} events`),
    make('dd', { class: 'error' }, make('meter', meter)),
  ]
}

function policies(status, perSecond) {
  if (status.policies.length === 0) {
    return make(
      'p',
      {},
      'No policies: only processes are reported. Put a TracingPolicy into a folder listed under policies in the config.',
    )
  }
  const rows = status.policies.map(({ name, state, hooks, events, error, lacking, call_not_found: missing }) => {
    const of = (one) => one.policies.find((policy) => policy.name === name)?.events ?? 0
    const look = { enabled: 'good', disabled: '', error: 'bad' }[state] ?? 'warn'
    const note = [error, ...lacking, missing.length > 0 ? `this kernel has no ${missing.join(', ')}` : undefined]
    return [
      breakable(name),
      [
        make('span', { class: `badge ${look}` }, visible(state.replaceAll('_', ' '))),
        ...note.filter((text) => text !== undefined).map((text) => make('div', { class: look }, visible(text, 1000))),
      ],
      count(hooks),
      count(events),
      rate(perSecond(of)),
    ]
  })
  return table(['Policy', 'State', '#Hooks', '#Hits', '#Now'], rows)
}

/** `#` before a heading: the column holds numbers. The first cell of a row names it. */
function table(headings, rows) {
  const look = (i) => (headings[i].startsWith('#') ? 'number' : undefined)
  return make(
    'table',
    {},
    make(
      'thead',
      {},
      make(
        'tr',
        {},
        headings.map((text, i) => make('th', { scope: 'col', class: look(i) }, text.replace('#', ''))),
      ),
    ),
    make(
      'tbody',
      {},
      rows.map((cells) =>
        make(
          'tr',
          {},
          cells.map((cell, i) =>
            make(i === 0 ? 'th' : 'td', { scope: i === 0 ? 'row' : undefined, class: look(i) }, cell),
          ),
        ),
      ),
    ),
  )
}

function made({ events }) {
  return sum(events.map((row) => row.count))
}

function sum(numbers) {
  return numbers.reduce((total, n) => total + n, 0)
}
