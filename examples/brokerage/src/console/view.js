// What the console shows, made from what the stream tells. Only builds elements; nothing here talks to the server.

export const columns = [
  'BALANCE_RESERVED',
  'SENT_TO_B3',
  'FILLED',
  'SETTLED',
  'COMPENSATING',
  'COMPENSATED',
  'CANCELLED',
  'FAILED',
]
export const final = new Set(['SETTLED', 'COMPENSATED', 'CANCELLED'])

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value)
    else if (value !== undefined && value !== null) made.setAttribute(name, value)
  made.append(...children)
  return made
}

export const brl = (centavos) =>
  `R$ ${(centavos / 100).toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`
const clock = (instant) => new Date(instant).toLocaleTimeString('en-GB')

/** The columns of the saga. Cards keep their focus: one that stays where it is is not made again. */
export function showSaga(saga, { orders, counts }, onOpen) {
  if (saga.childElementCount === 0)
    saga.append(
      ...columns.map((state) =>
        element(
          'div',
          { class: `column ${state}`, 'data-state': state },
          element('h3', {}, state.replaceAll('_', ' '), ' ', element('span', { class: 'count' }, '0')),
          element('div', { class: 'cards' }),
        ),
      ),
    )
  for (const column of saga.children) {
    const { state } = column.dataset
    const cards = column.querySelector('.cards')
    const wanted = orders.filter((order) => order.state === state).slice(0, 20)
    column.querySelector('.count').textContent = String(counts[state] ?? 0)
    const kept = new Map([...cards.children].map((card) => [card.dataset.id, card]))
    const ids = new Set(wanted.map(({ id }) => id))
    for (const [id, card] of kept) if (!ids.has(id)) card.remove()
    wanted.forEach((order, at) => {
      const card = kept.get(order.id) ?? cardOf(order, onOpen)
      if (cards.children[at] !== card) cards.insertBefore(card, cards.children[at] ?? null)
    })
  }
}

function cardOf(order, onOpen) {
  return element(
    'button',
    { class: 'card new', type: 'button', 'data-id': order.id, onclick: () => onOpen(order.id) },
    `${order.side} ${order.asset}`,
    element('small', {}, brl(order.amount), order.reason === null ? '' : ` · ${order.reason}`),
  )
}

/** A line through the last values; gaps are left out. */
export function showPlot(svg, values) {
  const known = values.filter((value) => value !== null)
  const top = Math.max(100, ...known)
  const points = values.flatMap((value, at) => (value === null ? [] : [`${at * 4},${58 - (value / top) * 54}`]))
  let line = svg.querySelector('polyline')
  if (line === null) {
    line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline')
    svg.append(line)
  }
  line.setAttribute('points', points.join(' '))
}

export function showTasks(list, tasks, onDecide, onOpen) {
  list.replaceChildren(
    ...(tasks.length === 0 ? [element('li', {}, 'nobody is needed')] : []),
    ...tasks.map((task) =>
      element(
        'li',
        { 'data-task': task.orderId },
        element('div', {}, `${task.accountId}: ${task.reason}`),
        element(
          'div',
          { class: 'buttons' },
          element('button', { type: 'button', onclick: () => onDecide(task.orderId, 'SETTLED') }, 'Settle'),
          element('button', { type: 'button', onclick: () => onDecide(task.orderId, 'COMPENSATED') }, 'Give back'),
          element('button', { type: 'button', onclick: () => onOpen(task.orderId) }, 'Look'),
        ),
      ),
    ),
  )
}

export function showHappened(list, happened) {
  list.replaceChildren(
    ...happened.map(({ at, text }) => element('li', {}, element('time', { datetime: at }, clock(at)), text)),
  )
}

/** The history of an order beside what it moved. */
export function showDetail(body, { history, movements }) {
  const amount = ({ asset, amount: moved }) => (asset === 'BRL' ? brl(moved) : `${moved / 1_000_000} ${asset}`)
  body.replaceChildren(
    element('p', {}, 'Correlation: ', element('code', {}, history[0]?.correlationId ?? '–')),
    element(
      'div',
      { class: 'sides' },
      table(
        'History',
        ['', 'state', 'by', 'at'],
        history.map((row) => [
          row.version,
          [row.state, row.data.reason].filter(Boolean).join(' · '),
          row.actor,
          clock(row.happenedAt),
        ]),
      ),
      table(
        'Ledger',
        ['reason', 'amount', 'from', 'to'],
        movements.map((row) => [row.reason, amount(row), row.from, row.to]),
      ),
    ),
  )
}

function table(caption, heads, rows) {
  const cells = (tag, values) => element('tr', {}, ...values.map((value) => element(tag, {}, String(value))))
  return element(
    'div',
    {},
    element('h3', {}, caption),
    element(
      'table',
      {},
      element('thead', {}, cells('th', heads)),
      element('tbody', {}, ...rows.map((row) => cells('td', row))),
    ),
  )
}
