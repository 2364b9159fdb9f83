import { brl, columns, element, final, showDetail, showHappened, showPlot, showSaga, showTasks } from './view.js'

const $ = (id) => document.getElementById(id)
const customer = { authorization: 'Bearer fake-token' }
const admin = { authorization: 'Bearer fake-admin-token' }

const faults = [
  ['breakBroker', 'Broker away', { breakBroker: true }],
  ['breakWorker', 'Relay away', { breakWorker: true }],
  ['breakConsumer', 'Consumers fail', { breakConsumer: true }],
  ['duplicateEvents', 'Publish twice', { duplicateEvents: true }],
  ['successOnAttempt', 'Fail until attempt 3', { successOnAttempt: 3 }],
  ['b3down', 'B3 down', { b3: 'down' }],
  ['b3slow', 'B3 slow', { b3: 'slow' }],
  ['b3rejecting', 'B3 rejects', { b3: 'rejecting' }],
  ['b3unknown', 'B3 says nothing', { b3: 'unknown' }],
]
const roles = ['relay', 'orders', 'balances', 'listeners', 'market', 'b3']

async function call(method, path, { headers = {}, body } = {}) {
  const response = await fetch(path, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    replayed: response.headers.get('idempotency-replayed') === 'true',
    json: text === '' ? null : JSON.parse(text),
  }
}

// The ticket

function wanted() {
  const { amount, asset, type } = $('ticket').elements
  return { amount: Number(amount.value), asset: asset.value, type: type.value }
}
const send = (key) => call('POST', '/api/orders', { headers: { ...customer, 'idempotency-key': key }, body: wanted() })
const told = ({ status, json, replayed }) =>
  `${status}${replayed ? ' replayed' : ''}: ${json?.id ?? json?.title ?? 'no answer'}`

async function answering(work) {
  try {
    $('answer').textContent = await work()
  } catch (error) {
    $('answer').textContent = `no answer: ${error.message}`
  }
}
$('ticket').addEventListener('submit', (event) => {
  event.preventDefault()
  void answering(async () => told(await send(crypto.randomUUID())))
})
$('twice').addEventListener('click', () => {
  void answering(async () => {
    const key = crypto.randomUUID()
    const [first, second] = [await send(key), await send(key)]
    return `${told(first)} — ${told(second)}`
  })
})
$('ten').addEventListener('click', () => {
  void answering(async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(crypto.randomUUID())))
    return `${answers.filter(({ status }) => status === 202).length} of 10 accepted`
  })
})

// Breaking things

let broken = {}
const isOn = (change) => Object.entries(change).every(([name, value]) => broken[name] === value)
function toggle(change) {
  const [name] = Object.keys(change)
  const next = { ...broken }
  if (isOn(change)) delete next[name]
  else Object.assign(next, change)
  broken = next
  showFaults()
  return call('POST', '/api/faults', { headers: admin, body: next })
}
function showFaults() {
  for (const button of $('faults').querySelectorAll('[data-fault]'))
    button.setAttribute('aria-pressed', String(isOn(faults.find(([id]) => id === button.dataset.fault)[2])))
}
$('faults').append(
  ...faults.map(([id, label, change]) =>
    element(
      'button',
      { type: 'button', 'data-fault': id, 'aria-pressed': 'false', onclick: () => toggle(change) },
      label,
    ),
  ),
  element(
    'button',
    {
      type: 'button',
      id: 'mend',
      class: 'primary',
      onclick: () => {
        broken = {}
        showFaults()
        return call('POST', '/api/faults', { headers: admin, body: {} })
      },
    },
    'Mend everything',
  ),
)
$('kills').append(
  ...roles.map((role) =>
    element(
      'button',
      {
        type: 'button',
        'data-kill': role,
        onclick: () => call('POST', '/api/kill', { headers: admin, body: { role } }),
      },
      role,
    ),
  ),
)

// Looking at one order, and deciding one

async function open(id) {
  const { json } = await call('GET', `/api/orders/${id}/history`, { headers: admin })
  $('detailtitle').textContent = `Order ${id}`
  showDetail($('detailbody'), json)
  $('detail').showModal()
}
function decide(id, status) {
  return call('PUT', `/api/orders/${id}/status`, { headers: admin, body: { status, note: 'decided on the console' } })
}

// The stream

const latencies = Array.from({ length: 60 }, () => null)
let shownTasks = ''
function show(state) {
  const { counts, control, tasks } = state
  const sum = (states) => states.reduce((total, name) => total + (counts[name] ?? 0), 0)
  $('ledger').textContent = brl(state.ledgerSum)
  $('ledger').classList.toggle('wrong', state.ledgerSum !== 0)
  $('settled').textContent = String(sum(['SETTLED']))
  $('underway').textContent = String(sum(columns.filter((name) => !final.has(name))))
  $('undone').textContent = String(sum(['COMPENSATED', 'CANCELLED']))
  $('outbox').textContent = String(state.outbox)
  $('scheduled').textContent = String(state.scheduled)
  $('dead').textContent = String(state.deadLetters)
  latencies.push(state.settledMs)
  latencies.shift()
  $('latency').textContent = state.settledMs === null ? '–' : `${state.settledMs} ms`
  showPlot($('plot'), latencies)
  showSaga($('saga'), state, (id) => void open(id))
  $('taskcount').textContent = String(tasks.length)
  const list = tasks.map(({ orderId }) => orderId).join()
  // Made again only when it changed: a button that is being pressed must not vanish under the finger.
  if (list !== shownTasks || $('tasks').childElementCount === 0)
    showTasks($('tasks'), tasks, decide, (id) => void open(id))
  shownTasks = list
  if (control === null) return
  broken = control.faults
  showFaults()
  $('breaker').textContent = control.breaker
  $('breaker').classList.toggle('open', control.breaker !== 'closed')
  $('happened').textContent = control.happened[0]?.text ?? 'everything runs'
  showHappened($('history'), control.happened)
  for (const { name, state: roleState, restarts } of control.roles) {
    const button = document.querySelector(`[data-kill="${name}"]`)
    if (button !== null)
      button.textContent = roleState === 'running' ? `${name}${restarts > 0 ? ` (${restarts}×)` : ''}` : `${name} …`
  }
}

const stream = new EventSource('/api/console/stream')
stream.addEventListener('state', (event) => show(JSON.parse(event.data)))
stream.addEventListener('error', () => ($('happened').textContent = 'the API does not answer; trying again'))

$('theme').addEventListener('click', () => {
  const root = document.documentElement
  const isDark =
    root.dataset.theme === 'dark' ||
    (root.dataset.theme === undefined && matchMedia('(prefers-color-scheme: dark)').matches)
  root.dataset.theme = isDark ? 'light' : 'dark'
})
