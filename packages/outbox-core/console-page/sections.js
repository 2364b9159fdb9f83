import { age, count, h, section, table } from './elements.js'
import { deadLetters, heldKeys, heldStreams, paused } from './undecided.js'

/** Messages in or out for a second, from one look to the next; null before there are two. */
function rate(view, topic, field) {
  const before = view.before?.status?.topics.find((other) => other.topic === topic.topic)
  const ms = Date.parse(view.status.observedAt) - Date.parse(view.before?.status?.observedAt ?? '')
  if (before === undefined || !(ms > 0)) return null
  const perSecond = (Math.max(0, field(topic) - field(before)) * 1_000) / ms
  return perSecond === 0 ? 0 : perSecond < 10 ? Number(perSecond.toFixed(1)) : Math.round(perSecond)
}
const published = (topic) => topic.published
const added = (topic) =>
  topic.published + topic.ready + topic.waiting + topic.held + topic.overdueScheduled + topic.deadLetters

function flow(view) {
  const { status, decide } = view
  if (status === null) return null
  const paused = new Set(status.pausedTopics)
  const rows = status.topics.map((topic) => ({
    key: topic.topic,
    class: (topic.oldestUnpublishedMs ?? 0) > 60_000 ? 'late' : false,
    cells: [
      h('strong', {}, topic.topic),
      topic.oldestUnpublishedMs === null ? null : age(Date.parse(status.observedAt) - topic.oldestUnpublishedMs),
      rate(view, topic, added),
      rate(view, topic, published),
      topic.ready,
      topic.waiting,
      topic.held,
      topic.overdueScheduled,
      topic.deadLetters,
      topic.published,
      age(topic.lastPublishedAt, ' ago'),
      aboutTopic(decide, topic.topic, paused.has(topic.topic)),
    ],
  }))
  const head = [
    'Topic',
    'Oldest due',
    'In /s',
    'Out /s',
    'Ready',
    'Retrying',
    'Held',
    'Overdue',
    'Dead',
    'Published',
    'Last out',
    'Decide',
  ]
  const total = (label, value, note) =>
    h('div', { class: 'tile' }, h('dt', {}, label), h('dd', {}, value, note === null ? null : h('small', {}, note)))
  const oldest =
    status.oldestUnpublishedMs === null ? 'none' : age(Date.parse(status.observedAt) - status.oldestUnpublishedMs)
  return section(
    'flow',
    'Flow',
    h(
      'dl',
      { class: 'tiles' },
      total('Oldest due and not published', oldest, null),
      total(
        'Wait now',
        (status.ready + status.waiting + status.held).toLocaleString('en'),
        `${count(status.scheduled, 'more', 'more')} for later`,
      ),
      total(
        'Published',
        status.publishedTotal.toLocaleString('en'),
        h('span', {}, 'last ', age(status.lastPublishedAt, ' ago')),
      ),
      total('Added', status.addedTotal.toLocaleString('en'), h('span', {}, 'last ', age(status.lastAddedAt, ' ago'))),
    ),
    rows.length === 0
      ? h('p', { class: 'quiet' }, 'Nobody has added a message yet.')
      : table('Topics, the one that waits longest first', head, rows),
  )
}

function aboutTopic(decide, topic, isPaused) {
  const pause = decide(
    'pause-topic',
    { topic },
    'Pause',
    `Publish nothing of topic ${topic} until somebody resumes it?`,
    'Messages go on being added and keep their order.',
  )
  const hold = decide(
    'hold-key',
    { topic },
    'Hold a key',
    `Publish nothing of one ordering key of topic ${topic} until somebody releases it?`,
    'What is in flight ends. Messages go on being added and keep their order; other keys lose nothing.',
    { name: 'orderingKey', label: 'Ordering key' },
  )
  return hold === null && !isPaused ? null : h('span', { class: 'decisions' }, isPaused ? 'paused' : pause, hold)
}

function breakers({ status }) {
  if (status === null || status.outages.length === 0) return null
  const items = status.outages.map(({ destination, topics, since, backlog, code, message }) =>
    h(
      'li',
      { class: 'card' },
      h(
        'p',
        { class: 'head' },
        h('strong', {}, destination ?? 'The broker as a whole'),
        h('span', {}, 'takes nothing since ', age(since, ' ago')),
      ),
      h('blockquote', {}, h('code', {}, code), ' ', message),
      h(
        'p',
        { class: 'quiet' },
        `${count(backlog, 'message waits', 'messages wait')}, at no cost of attempts${topics.length === 0 ? '' : `; topics ${topics.join(', ')}`}. The relay asks again by itself, and goes on when it is mended.`,
      ),
    ),
  )
  return section('breakers', 'Open breakers', h('ul', { class: 'plain' }, ...items))
}

function retries({ status }) {
  if (status === null || status.retries.length === 0) return null
  const rows = status.retries.map((group) => ({
    key: `${group.topic} ${group.code}`,
    cells: [
      h('strong', {}, group.topic),
      group.messages,
      group.attempts,
      age(Date.parse(status.observedAt) - group.oldestMs),
      h('code', {}, group.code),
      group.lastWords,
    ],
  }))
  return section(
    'retries',
    'Retries',
    table(
      'Messages that failed and are tried again',
      ['Topic', 'Messages', 'Attempts', 'Oldest', 'Code', 'Last words'],
      rows,
    ),
  )
}

function relays({ status }) {
  if (status === null) return null
  if (status.relays.length === 0)
    return section('relays', 'Relays', h('p', { class: 'late' }, 'None runs: nothing is published.'))
  const rows = status.relays.map((relay) => ({
    key: relay.id,
    class: relay.isAlive ? false : 'late',
    cells: [
      h('strong', {}, relay.name),
      relay.isAlive ? 'alive' : relay.isConnected === true ? 'hung' : 'dead',
      h(
        'span',
        { class: 'lanes' },
        h('meter', { min: 0, max: 64, value: relay.lanes, 'aria-label': `${relay.lanes} of 64 lanes` }),
        ` ${relay.lanes} of 64`,
      ),
      relay.leaseMs < 0 ? 'has run out' : 'holds',
      age(relay.startedAt, ' ago'),
    ],
  }))
  const orphans =
    status.lanesWithoutRelay > 0
      ? h('p', { class: 'late' }, `${count(status.lanesWithoutRelay, 'lane has', 'lanes have')} no living relay.`)
      : null
  return section(
    'relays',
    'Relays and lanes',
    orphans,
    table('Relays', ['Relay', 'State', 'Lanes', 'Lease', 'Started'], rows),
  )
}

const names = {
  processed_messages: 'applied messages remembered',
  processed_messages_by_day: 'applied messages remembered, by day',
  inbox_consumers: 'consumers with an inbox',
  consumer_offsets: 'Kafka positions',
  idempotency_keys: 'idempotent requests remembered',
}

function consumers({ consumerCounts: counts }) {
  const known = (counts ?? []).filter(({ rows }) => rows > 0)
  if (known.length === 0) return null
  return section(
    'consumers',
    'Inbox and idempotency',
    h(
      'ul',
      { class: 'plain counts' },
      ...known.map(({ name, rows }) =>
        h('li', {}, h('strong', {}, `~ ${rows.toLocaleString('en')}`), ` ${names[name] ?? name}`),
      ),
    ),
  )
}

function audit({ actions }) {
  if (actions === null || actions.length === 0) return null
  const rows = actions.map(({ operatorActionId, at, operator, action, target, reason, affected }) => ({
    key: operatorActionId,
    cells: [
      age(at, ' ago'),
      h('strong', {}, operator),
      action,
      affected,
      target.map((one) => one.ordering_key ?? one.topic ?? one.id ?? '').join(', '),
      reason,
    ],
  }))
  return section(
    'audit',
    'Decided lately',
    table('Decisions, newest first', ['When', 'Who', 'What', 'Of how many', 'About', 'Why'], rows),
  )
}

/** What is wrong first; what is well is left out, or stands last. */
export const sections = [
  ['breakers', breakers],
  ['dead-letters', deadLetters],
  ['held-keys', heldKeys],
  ['held-streams', heldStreams],
  ['paused', paused],
  ['retries', retries],
  ['flow', flow],
  ['relays', relays],
  ['consumers', consumers],
  ['audit', audit],
]
