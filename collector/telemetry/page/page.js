/** Requests the numbers while the page is visible, and a token from the user if the agent requires one. */
import { startLive } from './live.js'
import { showStatus } from './numbers.js'
import { clock, make, update, visible } from './show.js'

const EVERY_MS = 2000
const KEPT_AS = 'ktrail-token'

const at = (id) => document.getElementById(id)
const { numbers: numbersNeed, events: eventsNeed, hint } = document.documentElement.dataset
let token = sessionStorage.getItem(KEPT_AS) ?? ''
let polling
let live = false
let answeredAt

function headers() {
  return token === '' ? {} : { Authorization: `Bearer ${token}` }
}

/** Shows the parts that the token opens, and asks the user for it if it is missing. */
function show(problem = '') {
  const locked = token === ''
  const numbers = numbersNeed === 'nothing' || !locked
  const events = eventsNeed === 'nothing' || (eventsNeed === 'token' && !locked)
  at('numbers').hidden = !numbers
  at('live').hidden = !numbers
  at('stream').hidden = !events
  const form = at('unlock')
  form.hidden = events || eventsNeed === 'config'
  if (!numbers && form.parentElement !== at('locked'))
    at('locked').append(make('section', { 'aria-label': 'Access' }, form))
  if (numbers) at('live-title').after(form)
  if (numbers) update(at('locked'))
  if (!numbers) at('state').textContent = 'Locked'
  explain(problem, numbers)
  if (numbers) poll()
  if (events && !live) {
    live = true
    startLive(headers, refused)
  } else if (events) at('filter').requestSubmit()
}

function explain(problem, numbers) {
  const why = numbers
    ? 'Live events show command lines of all users, which can contain secrets. To see them, run this on the host and enter the printed token: '
    : 'The agent requires a token: '
  at('token').setAttribute('aria-invalid', String(problem !== ''))
  update(
    at('token-hint'),
    ...(problem === '' ? [] : [make('strong', { class: 'bad' }, problem), ' ']),
    why,
    make('code', {}, hint),
  )
  if (eventsNeed === 'config' && at('no-events') === null) {
    at('live-title').after(make('p', { id: 'no-events' }, `Not shown: ${hint}.`))
  }
}

function refused() {
  token = ''
  sessionStorage.removeItem(KEPT_AS)
  show('The agent refused this token.')
  at('token').focus()
}

async function poll() {
  clearTimeout(polling)
  if (document.hidden) return
  try {
    const answer = await fetch('/status', { headers: headers(), signal: AbortSignal.timeout(5000), cache: 'no-store' })
    if (answer.status === 401) return refused()
    if (!answer.ok) throw new Error((await answer.text()).trim())
    showStatus(await answer.json())
    answeredAt = new Date()
  } catch (error) {
    at('state').className = 'badge bad'
    at('state').textContent = 'No answer'
    const since = answeredAt === undefined ? '' : ` since ${clock(answeredAt)}; the numbers are from that time`
    const text = `The agent does not answer${since}. Retrying. (${visible(error.message)})`
    update(at('notice'), make('div', { class: 'notice bad' }, text))
  }
  clearTimeout(polling)
  polling = setTimeout(poll, EVERY_MS)
}

document.addEventListener('visibilitychange', () => (numbersNeed === 'nothing' || token !== '' ? poll() : undefined))
at('unlock').addEventListener('submit', (event) => {
  event.preventDefault()
  token = at('token').value.trim()
  at('token').value = ''
  sessionStorage.setItem(KEPT_AS, token)
  show()
  if (!at('stream').hidden) at('text').focus()
})
show()
