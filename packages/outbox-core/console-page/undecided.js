import { age, count, h, section, table, words } from './elements.js'

const reasons = { MAX_ATTEMPTS: 'out of attempts', PERMANENT: 'refused for ever', POISON: 'it killed its relay' }

export function deadLetters(view) {
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

export function heldKeys({ heldKeys: keys, status, decide }) {
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

export function heldStreams({ heldStreams: streams, decide }) {
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

export function paused({ pausedTopics: topics, decide }) {
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
