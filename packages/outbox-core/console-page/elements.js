// Text goes in as text, never as markup: a topic named <script> is shown as it is written.

/**
 * Makes an element. `given` holds attributes; `onclick` a listener; false, null and undefined leave one out. What is not an
 * element becomes text.
 */
export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(given)) {
    if (value === false || value === null || value === undefined) continue
    if (name === 'onclick') element.addEventListener('click', value)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

const units = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
]

/** An age as people say it. */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  for (const [size, name] of units) if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${name}`
  return `${seconds} s`
}

/** The database's clock, as far as the last look tells: this machine's may be wrong. */
let aheadMs = 0
export function setClock(observedAt) {
  aheadMs = Date.parse(observedAt) - Date.now()
}
export const now = () => Date.now() + aheadMs

/** An age that goes on by itself. */
export function age(since, suffix = '') {
  if (since === null || since === undefined) return h('span', { class: 'quiet' }, 'never')
  const iso = typeof since === 'string' ? since : new Date(since).toISOString()
  const element = h('time', { datetime: iso, title: iso, 'data-suffix': suffix })
  tell(element)
  return element
}

function tell(element) {
  const text = duration(now() - Date.parse(element.getAttribute('datetime'))) + element.dataset.suffix
  if (element.textContent !== text) element.textContent = text
}

export function tick() {
  document.querySelectorAll('time[data-suffix]').forEach(tell)
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString('en')} ${number === 1 ? one : many}`

/** Words with `code` in them. */
export function words(text) {
  return text.split(/`([^`]+)`/).map((part, index) => (index % 2 === 1 ? h('code', {}, part) : part))
}

/** A table that a phone shows as cards: each cell knows the name of its column. */
export function table(caption, head, rows) {
  const cells = (row) =>
    row.cells.map((cell, index) => h('td', { 'data-name': head[index], class: kind(cell) }, format(cell)))
  return h(
    'table',
    {},
    h('caption', { class: 'spoken' }, caption),
    h('thead', {}, h('tr', {}, ...head.map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, ...rows.map((row) => h('tr', { class: row.class, 'data-row': row.key }, ...cells(row)))),
  )
}

const kind = (cell) =>
  cell === 0 ? 'number zero' : typeof cell === 'number' ? 'number' : isNothing(cell) ? 'zero' : false
const isNothing = (cell) => cell === null || cell === undefined || cell === ''

function format(cell) {
  if (isNothing(cell)) return '–'
  return typeof cell === 'number' ? cell.toLocaleString('en') : cell
}

/** A part of the page, which a link may lead to. */
export const section = (id, title, ...content) =>
  h(
    'section',
    { id, 'aria-labelledby': `${id}-title`, tabindex: '-1' },
    h('h2', { id: `${id}-title` }, title),
    ...content,
  )
