import { age, count, h, table, words } from './elements.js'

/** What a finding is, in words, and where on this page it is mended. */
const titles = {
  BROKER_UNAVAILABLE: ['The broker is away', 'breakers', 'See what waits for it'],
  DESTINATION_UNAVAILABLE: ['A destination takes nothing', 'breakers', 'See what waits for it'],
  NO_RELAY: ['No relay runs', 'relays', 'See the relays'],
  RELAY_DEAD: ['A relay is dead', 'relays', 'See the relays'],
  RELAY_HUNG: ['A relay hangs', 'relays', 'See the relays'],
  LANES_WITHOUT_RELAY: ['Lanes have no relay', 'relays', 'See the relays'],
  PUBLISHING_FAILS: ['Every publish fails', 'retries', 'See the words'],
  OVERDUE: ['Messages are late', 'flow', 'See the topic'],
  RETRIES: ['Publishes fail', 'retries', 'See the words'],
  POISON: ['A message kills its relay', 'dead-letters', 'Decide here'],
  DEAD_LETTERS: ['Dead letters wait for a decision', 'dead-letters', 'Decide here'],
  DEAD_LETTERS_FORGOTTEN: ['Dead letters are older than the inbox', 'dead-letters', 'Decide here'],
  HELD_KEYS: ['Ordering keys stand still', 'held-keys', 'Decide here'],
  TOPIC_PAUSED: ['A topic is paused', 'paused', 'Decide here'],
  NEVER_USED: ['Nobody has used this outbox yet'],
  SCHEMA_MISSING: ['The tables are missing'],
  GRANTS_MISSING: ['This role lacks rights'],
  UNSEEN: ['Not everything could be seen'],
}
/** A code without words of its own reads as what it is. */
export const titleOf = ({ code }) => titles[code]?.[0] ?? sentence(code)
const sentence = (code) => code.charAt(0) + code.slice(1).toLowerCase().replaceAll('_', ' ')
const ranks = { problem: 0, warning: 1, unseen: 2 }
const levels = { problem: 'problem', warning: 'warning', unseen: 'could not look' }

const section = (id, title, ...content) =>
  h(
    'section',
    { id, 'aria-labelledby': `${id}-title`, tabindex: '-1' },
    h('h2', { id: `${id}-title` }, title),
    ...content,
  )

export const byHarm = (findings) => findings.toSorted((one, other) => ranks[one.level] - ranks[other.level])

export function findings(view) {
  if (view.findings.length === 0) return null
  const items = byHarm(view.findings).map((finding) => {
    const [, place, label] = titles[finding.code] ?? []
    const isThere = place !== undefined && sections.some(([id, draw]) => id === place && draw(view) !== null)
    const mend = [
      isThere ? h('a', { class: 'button', href: `#${place}` }, label) : null,
      finding.mend === null ? null : h('span', {}, ...words(finding.mend)),
    ].filter((part) => part !== null)
    return h(
      'li',
      { class: `finding ${finding.level}`, 'data-code': finding.code },
      h(
        'p',
        { class: 'head' },
        h('strong', {}, titleOf(finding)),
        h(
          'span',
          { class: 'quiet' },
          levels[finding.level],
          ...(finding.since === null ? [] : [' since ', age(finding.since, ' ago')]),
        ),
        h('span', { class: 'quiet code' }, finding.code),
      ),
      h('p', {}, finding.detail),
      mend.length === 0 ? null : h('p', { class: 'mend' }, h('span', { class: 'label' }, 'Mend'), ...mend),
    )
  })
  return section('findings', 'What is wrong', h('ul', { class: 'plain' }, ...items))
}

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
      paused.has(topic.topic)
        ? 'paused'
        : decide(
            'pause-topic',
            { topic: topic.topic },
            'Pause',
            `Publish nothing of topic ${topic.topic} until somebody resumes it?`,
            'Messages go on being added and keep their order.',
          ),
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

const reasons = { MAX_ATTEMPTS: 'out of attempts', PERMANENT: 'refused for ever', POISON: 'it killed its relay' }

function deadLetters(view) {
  const { status, deadLetters: letters, decide, picked, allowActions } = view
  if (letters === null || letters.length === 0) return null
  const rows = letters.map((letter) => ({
    key: letter.deadLetterId,
    cells: [
      allowActions
        ? h(
            'label',
            { class: 'pick' },
            picked.box(letter.deadLetterId),
            h('span', { class: 'spoken' }, `Pick dead letter ${letter.deadLetterId}`),
          )
        : letter.deadLetterId,
      age(letter.diedAt, ' ago'),
      h('strong', {}, letter.topic),
      letter.type,
      letter.orderingKey,
      h('span', {}, reasons[letter.reason] ?? letter.reason, `, ${count(letter.attempts, 'attempt')}`),
      letter.lastFailure === null
        ? null
        : h('span', {}, h('code', {}, letter.lastFailure.code), ' ', letter.lastFailure.message),
      h(
        'span',
        { class: 'decisions' },
        ...aboutLetters(decide, [letter.deadLetterId], `dead letter ${letter.deadLetterId}`),
      ),
    ],
  }))
  const total = status?.deadLetters ?? letters.length
  const more =
    total > letters.length
      ? h(
          'p',
          { class: 'quiet' },
          `The ${letters.length} newest of ${count(total, 'dead letter')}. `,
          ...words('For many at once: `malote dead-letters replay --topic … --limit …`'),
        )
      : null
  const ids = letters.map(({ deadLetterId }) => deadLetterId).filter((id) => picked.has(id))
  const bulk = allowActions
    ? h(
        'p',
        { class: 'bulk' },
        h('label', {}, picked.all(letters.map(({ deadLetterId }) => deadLetterId)), ' All shown'),
        ...(ids.length > 0 ? aboutLetters(decide, ids, count(ids.length, 'dead letter'), ` ${ids.length}`) : []),
      )
    : null
  const head = [allowActions ? 'Pick' : 'Id', 'Died', 'Topic', 'Type', 'Key', 'Why', 'Last words', 'Decide']
  return section(
    'dead-letters',
    'Dead letters',
    more,
    bulk,
    table('Messages that could not be published, newest first', head, rows),
  )
}

function aboutLetters(decide, deadLetterIds, what, label = '') {
  return [
    decide(
      'replay',
      { deadLetterIds },
      `Replay${label}`,
      `Replay ${what}?`,
      'Back to its old place in its order, with all its attempts; its key goes on behind it. Mend the cause first.',
    ),
    decide(
      'discard',
      { deadLetterIds },
      `Discard${label}`,
      `Delete ${what} for ever?`,
      'Nobody gets it. Its key goes on without it.',
    ),
  ]
}

function heldKeys({ heldKeys: keys, status, decide }) {
  if (keys === null || keys.length === 0) return null
  const rows = keys.map(({ topic, orderingKey, deadLetterId, heldAt, heldBy, reason, waiting }) => ({
    key: `${topic} ${orderingKey}`,
    cells: [
      h('strong', {}, orderingKey),
      topic,
      age(heldAt, ' ago'),
      waiting,
      heldBy === null ? `dead letter ${deadLetterId}` : `${heldBy}: ${reason ?? ''}`,
      h(
        'span',
        { class: 'decisions' },
        ...(deadLetterId === null ? [] : aboutLetters(decide, [deadLetterId], `dead letter ${deadLetterId}`)),
        decide(
          'release-key',
          { topic, orderingKey },
          'Release',
          `Let key ${orderingKey} of topic ${topic} go on?`,
          deadLetterId === null
            ? 'What waits is published in order.'
            : `What waits is published without dead letter ${deadLetterId}, which stays dead. A replay comes after it then, out of order.`,
        ),
      ),
    ],
  }))
  const total = status?.heldKeys ?? keys.length
  const more =
    total > keys.length
      ? h('p', { class: 'quiet' }, `The ${keys.length} oldest of ${total.toLocaleString('en')}.`)
      : null
  return section(
    'held-keys',
    'Held keys',
    more,
    table(
      'Ordering keys that stand still, oldest first',
      ['Key', 'Topic', 'Held', 'Wait behind', 'Behind', 'Decide'],
      rows,
    ),
  )
}

function heldStreams({ heldStreams: streams, decide }) {
  if (streams === null || streams.length === 0) return null
  const rows = streams.map((stream) => {
    const { consumer, topic, orderingKey, isHeld, heldAt, waiting, note } = stream
    const about = { consumer, topic, orderingKey }
    return {
      key: `${consumer} ${topic} ${orderingKey}`,
      cells: [
        h('strong', {}, consumer),
        topic,
        orderingKey,
        age(heldAt, ' ago'),
        waiting,
        note === null ? null : `${note.reason}: ${note.error}`,
        isHeld
          ? h(
              'span',
              { class: 'decisions' },
              decide(
                'release-stream',
                { ...about, what: 'retry' },
                'Retry',
                `Let ${consumer} go on with ${orderingKey}, the dead letter first?`,
                'Mend the cause first.',
              ),
              decide(
                'release-stream',
                { ...about, what: 'discard' },
                'Discard',
                `Let ${consumer} go on with ${orderingKey} without the dead letter?`,
                'The dead letter is deleted for ever.',
              ),
            )
          : 'goes on',
      ],
    }
  })
  return section(
    'held-streams',
    'Streams that consumers hold',
    table(
      'Streams that stand still behind a dead letter',
      ['Consumer', 'Topic', 'Key', 'Held', 'Wait behind', 'Why', 'Decide'],
      rows,
    ),
  )
}

function paused({ pausedTopics: topics, decide }) {
  if (topics === null || topics.length === 0) return null
  const rows = topics.map(({ topic, pausedBy, reason, pausedAt }) => ({
    key: topic,
    cells: [
      h('strong', {}, topic),
      age(pausedAt, ' ago'),
      pausedBy,
      reason,
      decide('resume-topic', { topic }, 'Resume', `Let topic ${topic} go on?`, 'From where it stopped, in order.'),
    ],
  }))
  return section(
    'paused',
    'Paused topics',
    table('Topics that an operator paused', ['Topic', 'Paused', 'By', 'Why', 'Decide'], rows),
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
