import { createDecisions } from './decide.js'
import { age, h, setClock, tick } from './elements.js'
import { byHarm, findings, titleOf } from './findings.js'
import { sections } from './sections.js'

/** Between two looks; the server looks less often when a look is dear. */
const restMs = 1_000
/** An answer that takes longer is none. */
const patienceMs = 20_000

const main = document.getElementById('main')
const verdict = document.getElementById('verdict')
const fresh = document.getElementById('fresh')
const said = document.getElementById('said')
const dialog = document.getElementById('decision')

let view = null
let before = null
let failure = null
let timer
let silence
let isLooking = false
const drawn = new Map()
const chosen = new Set()

/** A token in the address is taken out of it at once, so that it stays out of histories and screenshots. */
const given = /^#token=(.+)$/.exec(location.hash)?.[1]
if (given !== undefined) {
  sessionStorage.setItem('malote token', decodeURIComponent(given))
  history.replaceState(null, '', location.pathname)
}

async function call(path, options = {}) {
  const token = sessionStorage.getItem('malote token')
  const headers = { ...options.headers, ...(token === null ? {} : { authorization: `Bearer ${token}` }) }
  try {
    const response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(patienceMs) })
    const body = await response.json()
    return response.ok
      ? body
      : { status: response.status, code: body.code ?? '', detail: body.detail ?? `answer ${response.status}` }
  } catch (error) {
    return { status: 0, code: 'CONSOLE_AWAY', detail: `The console's own server does not answer (${error.name}).` }
  }
}
const post = (path, body) =>
  call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

async function look() {
  if (isLooking) return
  clearTimeout(timer)
  isLooking = true
  const answer = await call('api/view')
  isLooking = false
  failure = answer.detail === undefined ? null : answer
  if (failure === null) {
    if (answer.status !== null && answer.status.observedAt !== view?.status?.observedAt) {
      before = view
      setClock(answer.status.observedAt)
    }
    view = answer
  }
  if (failure?.status === 401 && failure.code === 'TOKEN_NEEDED') return askForToken()
  draw()
  if (!document.hidden) timer = setTimeout(() => void look(), restMs)
}

/** Nobody looks at a hidden page, so it does not look either. */
document.addEventListener('visibilitychange', () => {
  clearTimeout(timer)
  if (!document.hidden) void look()
})

const ask = createDecisions(dialog, {
  post,
  explain: async (ids) => {
    const query = ids
      .slice(0, 50)
      .map((id) => `id=${id}`)
      .join('&')
    return (await call(`api/explain?${query}`)).explained ?? []
  },
  done: (text) => {
    chosen.clear()
    said.textContent = text
    clearTimeout(silence)
    silence = setTimeout(() => (said.textContent = ''), 6_000)
    void look()
  },
})

/** The button of a decision, where decisions are allowed. `asked` is what only the operator can say of what it is about. */
function decide(action, about, label, title, consequence, asked = null) {
  if (!view.allowActions) return null
  const key = `${action} ${JSON.stringify(about)}`
  return h(
    'button',
    {
      'data-key': key,
      'data-action': action,
      onclick: () => ask(action, { about, title, consequence, operator: view.operator, asked }),
    },
    label,
  )
}

const picked = {
  has: (id) => chosen.has(id),
  box: (id) => pick(`pick ${id}`, [id]),
  all: (ids) => pick('pick all', ids),
}

function pick(key, ids) {
  const box = h('input', { type: 'checkbox', 'data-key': key, checked: ids.every((id) => chosen.has(id)) })
  box.addEventListener('change', () => {
    for (const id of ids)
      if (box.checked) chosen.add(id)
      else chosen.delete(id)
    draw()
  })
  return box
}

function draw() {
  drawVerdict()
  if (view === null) return
  const given = { ...view, before, decide, picked }
  for (const [id, drawSection] of [['findings', findings], ...sections]) {
    const old = drawn.get(id)
    const next = drawSection(given)
    if (next?.outerHTML === old?.outerHTML) continue
    replace(id, old, next)
  }
  document.body.classList.toggle('stale', failure !== null)
}

/** Whoever had the keyboard's focus there has it afterwards. */
function replace(id, old, next) {
  const key = old?.contains(document.activeElement) ? document.activeElement.dataset.key : undefined
  if (next === null) old.remove()
  else if (old !== undefined) old.replaceWith(next)
  else main.insertBefore(next, following(id))
  if (next === null) drawn.delete(id)
  else drawn.set(id, next)
  if (key !== undefined) next?.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus()
}

function following(id) {
  const order = ['findings', ...sections.map(([name]) => name)]
  const after = order.slice(order.indexOf(id) + 1).find((name) => drawn.has(name))
  return after === undefined ? null : drawn.get(after)
}

function drawVerdict() {
  const worst = view === null ? [] : byHarm(view.findings)
  const level = failure !== null ? 'problem' : (worst[0]?.level ?? 'ok')
  let text = 'All is well'
  if (failure !== null) text = failure.code === 'DATABASE' ? 'The database does not answer' : 'The console cannot look'
  else if (view === null) text = 'Looking…'
  else if (worst.length > 0) text = titleOf(worst[0]) + (worst.length > 1 ? `, and ${worst.length - 1} more` : '')
  if (verdict.textContent !== text) verdict.textContent = text
  document.body.dataset.level = level
  document.title = level === 'ok' ? 'Malote: well' : `${level === 'problem' ? '●' : '○'} ${text} · Malote`
  document.getElementById('where').textContent = view === null ? '' : `· schema ${view.schema}`
  fresh.replaceChildren(
    ...(failure === null ? freshness() : [failure.detail, ...(view === null ? [] : [' What follows is old.'])]),
  )
}

function freshness() {
  if (view?.status === null || view === null) return []
  const { status, allowActions } = view
  const out =
    status.lastPublishedAt === null
      ? ['nothing published yet']
      : ['last published ', age(status.lastPublishedAt, ' ago')]
  return ['looked ', age(status.observedAt, ' ago'), ' · ', ...out, allowActions ? '' : ' · only shows']
}

function askForToken() {
  verdict.textContent = 'This console needs its token'
  fresh.textContent = 'As MALOTE_CONSOLE_TOKEN says where it was started.'
  const input = h('input', { type: 'password', autocomplete: 'current-password', required: true, id: 'token' })
  const form = h('form', { class: 'token' }, h('label', {}, 'Token', input), h('button', {}, 'Look'))
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    sessionStorage.setItem('malote token', input.value)
    main.replaceChildren()
    drawn.clear()
    void look()
  })
  main.replaceChildren(form)
  drawn.clear()
  input.focus()
}

setInterval(tick, 1_000)
void look()
