/** The list of live events: read from /events while the page is visible. */
import { clock, count, make, visible, visibleJson } from './show.js'

const MOST_ROWS = 500
/** Limit of the records in the list, and of those that wait: a character takes up to two bytes. Long records are few. */
const MOST_CHARACTERS = 8 << 20
const AGAIN_MS = 3000
/** The agent answers at once; after this time the page says that it waits. */
const LATE_MS = 5000
const TYPING_MS = 300

const at = (id) => document.getElementById(id)
const [list, filter, pause] = ['events', 'filter', 'pause'].map(at)

/** Record texts by row. */
const records = new WeakMap()
let stored = 0
/** Newest last; shown with the next frame. */
let waiting = []
let waitingCharacters = 0
let drawing = false
let paused = false
let lost = 0
let since
let reading = new AbortController()

/** Reads events while the page is visible. `headers()` returns the headers of a request; `refused` is called for a wrong token. */
export function startLive(headers, refused) {
  const resume = () => read(headers, refused)
  const again = () => {
    clear()
    resume()
  }
  let typing
  filter.addEventListener('input', () => {
    clearTimeout(typing)
    typing = setTimeout(again, TYPING_MS)
  })
  filter.addEventListener('submit', (event) => {
    event.preventDefault()
    clearTimeout(typing)
    again()
  })
  // The event comes before the fields are reset.
  filter.addEventListener('reset', () => setTimeout(again))
  document.addEventListener('visibilitychange', resume)
  pause.addEventListener('click', togglePause)
  at('clear').addEventListener('click', clear)
  list.addEventListener('click', (event) => open(event.target.closest('button')))
  list.addEventListener('keydown', move)
  list.addEventListener('focusin', (event) => current(event.target))
  document.addEventListener('keydown', shortcut)
  at('copy').addEventListener('click', copy)
  // A secure page only: https, or localhost.
  at('copy').hidden = navigator.clipboard === undefined
  at('zone').textContent =
    `Times are in the zone of this browser (${Intl.DateTimeFormat().resolvedOptions().timeZone}).`
  again()
}

async function read(headers, refused) {
  reading.abort()
  const own = (reading = new AbortController())
  if (document.hidden) return connection('Paused while the page is hidden.')
  connection('Connecting…')
  const late = setTimeout(connection, LATE_MS, 'No live events: the agent has not answered yet. Waiting.', 'bad')
  try {
    const query = new URLSearchParams([...new FormData(filter)].filter(([, value]) => value !== ''))
    const request = fetch(`/events?${query}`, { headers: headers(), signal: own.signal, cache: 'no-store' })
    const answer = await request.finally(() => clearTimeout(late))
    if (answer.status === 401) return refused()
    if (!answer.ok) throw new Error(visible((await answer.text()).trim()), { cause: answer.status })
    since = new Date()
    connection(query.size === 0 ? 'Live: all events.' : 'Live: events that pass the filter.')
    show()
    await follow(answer.body)
    throw new Error('the agent closed the connection')
  } catch (error) {
    if (own.signal.aborted) return
    since = undefined
    // A wrong filter stays wrong.
    if (error.cause === 400) return connection(`Wrong filter: ${error.message}`, 'bad')
    connection(`No live events: ${error.message}. Retrying.`, 'bad')
    setTimeout(() => own === reading && read(headers, refused), AGAIN_MS)
  }
}

/** Server-Sent Events, of which the agent uses `data` and `event: lost`. */
async function follow(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const messages = (rest + value).split('\n\n')
    rest = messages.pop()
    for (const message of messages) take(message)
    show()
  }
}

function take(message) {
  if (message.startsWith('event: lost\ndata: ')) lost += Number(message.slice('event: lost\ndata: '.length))
  if (!message.startsWith('data: ')) return
  const record = message.slice('data: '.length)
  waiting.push(record)
  waitingCharacters += record.length
  while (waiting.length > MOST_ROWS || waitingCharacters > MOST_CHARACTERS) waitingCharacters -= waiting.shift().length
}

function show() {
  if (drawing) return
  drawing = true
  requestAnimationFrame(() => {
    drawing = false
    if (!paused) draw()
    const more = paused && waiting.length > 0 ? ` Newer events waiting: ${count(waiting.length)}.` : ''
    const missed = lost === 0 ? '' : ` ${count(lost)} events were too many to show; exporters have them.`
    at('counts').textContent =
      since === undefined
        ? ''
        : `Complete since ${clock(since)}. Showing the newest ${count(list.children.length)}.${more}${missed}`
    at('empty').textContent =
      since === undefined || list.children.length > 0 || paused
        ? ''
        : 'No events yet. Run a command on this host, or reset the filter.'
  })
}

function draw() {
  const rows = waiting.map(row)
  waiting = []
  waitingCharacters = 0
  list.prepend(...rows.toReversed())
  while (list.children.length > MOST_ROWS || stored > MOST_CHARACTERS) {
    const { lastElementChild: oldest } = list
    if (oldest === null) break
    stored -= records.get(oldest).length
    const focused = oldest.contains(document.activeElement)
    oldest.remove()
    if (focused) list.lastElementChild?.firstElementChild.focus()
  }
  if (list.querySelector('[tabindex="0"]') === null) current(list.querySelector('button'))
}

function clear() {
  list.replaceChildren()
  waiting = []
  stored = lost = waitingCharacters = 0
  show()
}

function row(text) {
  const { time, kind, binary, argv, detail, action = '', policy = '' } = summary(JSON.parse(text))
  const item = make(
    'li',
    {},
    make(
      'button',
      { type: 'button', tabindex: '-1' },
      make('span', {}, time),
      ' ',
      make('span', { class: 'kind' }, kind),
      ' ',
      make('bdi', {}, make('span', { class: 'binary' }, visible(binary)), ' ', visible(argv)),
      ' ',
      make(
        'bdi',
        { class: 'detail' },
        visible(detail),
        ...(action === '' ? [] : [' ', make('span', { class: 'bad' }, visible(action))]),
        ...(policy === '' ? [] : [' ', make('span', { class: 'policy' }, visible(policy))]),
      ),
    ),
  )
  records.set(item, text)
  stored += text.length
  return item
}

/** The parts of a record that its row shows. */
function summary(record) {
  const [type] = Object.keys(record)
  const event = record[type]
  const { binary = '', arguments: argv = '' } = event.process ?? {}
  const date = new Date(record.time)
  const time = `${clock(date)}.${String(date.getMilliseconds()).padStart(3, '0')}`
  const common = { time, kind: type.replace('process_', ''), binary, argv, detail: '' }
  if (type === 'process_exit') return { ...common, detail: event.signal ?? `status ${event.status ?? 0}` }
  if ('policy_name' in event) {
    const { action = '', policy_name: policy } = event
    const did = action === 'KPROBE_ACTION_POST' ? '' : action.replace('KPROBE_ACTION_', '')
    return { ...common, detail: call(event), action: [refusal(event.return), did].filter(Boolean).join(' '), policy }
  }
  if (type === 'rate_limit_info') {
    return { ...common, kind: 'lost', binary: `${event.number_of_dropped_process_events} events were lost`, argv: '' }
  }
  return common
}

function call({ subsys, event, function_name: name = `${subsys}:${event}`, args = [], return: returned }) {
  const result = returned === undefined ? '' : ` = ${shown(returned)}`
  return `${name}(${args.map(shown).join(', ')})${result}`
}

function shown(argument) {
  const value = Object.entries(argument).find(([key]) => key !== 'label')?.[1]
  return typeof value === 'object' && value !== null ? (value.path ?? JSON.stringify(value)) : String(value)
}

/** The meaning of a return value if it is an error number: EPERM (1) and EACCES (13) deny. */
function refusal(returned) {
  const value = Number(returned?.int_arg ?? returned?.long_arg ?? 0)
  if (value >= 0 || value < -4095) return ''
  return value === -1 || value === -13 ? 'denied' : 'failed'
}

function open(button) {
  const item = button?.closest('li')
  if (item === null || item === undefined) return
  at('json').textContent = visibleJson(JSON.parse(records.get(item)))
  at('copied').textContent = ''
  at('record').showModal()
  at('close').focus()
}

async function copy() {
  await navigator.clipboard.writeText(at('json').textContent).then(
    () => (at('copied').textContent = 'Copied.'),
    (error) => (at('copied').textContent = `Not copied: ${error.message}`),
  )
}

function togglePause() {
  paused = !paused
  pause.setAttribute('aria-pressed', String(paused))
  show()
}

/** Only one row is reachable by the Tab key; arrows move among rows. */
function current(button) {
  if (!(button instanceof HTMLButtonElement)) return
  for (const other of list.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1
  button.tabIndex = 0
}

function move(event) {
  const item = event.target.closest('li')
  const target = {
    ArrowDown: () => item.nextElementSibling,
    ArrowUp: () => item.previousElementSibling,
    Home: () => list.firstElementChild,
    End: () => list.lastElementChild,
  }[event.key]?.()
  if (target === undefined) return
  event.preventDefault()
  target?.firstElementChild.focus()
}

/** Letters only if no field is being typed in, and only in this section or on the page itself. */
function shortcut(event) {
  const { target, key } = event
  if (event.ctrlKey || event.altKey || event.metaKey || target.matches('input, select, dialog *')) return
  if (target !== document.body && !at('live').contains(target)) return
  if (key === 'p') togglePause()
  else if (key === '/') at('text').focus()
  else return
  event.preventDefault()
}

function connection(text, look = '') {
  at('connection').className = look
  at('connection').textContent = text
  show()
}
