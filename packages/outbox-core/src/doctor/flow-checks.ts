import { before, type Check, counted, duration, found, type Found, type KnownPatient, ok } from './finding.ts'
import type { OutboxStatus, RelayStatus } from '../status.ts'

/** What is wrong with a relay that is listed and does not live. */
function deathOf({ name, isConnected, leaseMs }: RelayStatus, status: OutboxStatus, flag: string): Found {
  const since = leaseMs <= 0 ? before(status, -leaseMs) : null
  const waiting = status.oldestUnpublishedMs === null ? 'nothing waits yet' : 'messages wait'
  if (isConnected === true)
    return found(
      'problem',
      'RELAY_HUNG',
      `relay ${name} is connected and has not renewed its lease: its process is stopped, or its event loop is blocked; ${waiting}`,
      'look at its CPU and its log, then end it; another one takes over at once',
      since,
    )
  return found(
    'problem',
    'RELAY_DEAD',
    `relay ${name} is listed and does not live: it was killed, or cannot reach the database; ${waiting}`,
    `start it again, then \`malote status${flag}\``,
    since,
  )
}

/** What a relay that lives says of itself and should not be so. */
function settingsOf({ name, fullLeaseMs, publishTimeoutMs, hasSession, hearsDoorbell }: RelayStatus): readonly Found[] {
  const findings: Found[] = []
  if (fullLeaseMs !== null && publishTimeoutMs !== null && fullLeaseMs <= publishTimeoutMs)
    findings.push(
      found(
        'warning',
        'LEASE_TOO_SHORT',
        `the lease of relay ${name} (${String(fullLeaseMs)} ms) may run out while it publishes (${String(publishTimeoutMs)} ms): messages are then published twice`,
        'raise leaseMs to three times publishTimeoutMs',
      ),
    )
  if (hasSession === false)
    findings.push(
      found(
        'warning',
        'POOLER_IN_TRANSACTION_MODE',
        `relay ${name} works through a pooler in transaction mode: it only polls, and when it dies its lease must run out first`,
        'give its pool a direct connection, or a pooler in session mode; or say so with doorbell: false, presence: false',
      ),
    )
  else if (hearsDoorbell === false)
    findings.push(
      found(
        'warning',
        'DOORBELL_DEAD',
        `relay ${name} listens and hears nothing: it only polls`,
        'look for a proxy that drops notifications, or say so with doorbell: false',
      ),
    )
  return findings
}

/** The checks that ask whether messages get out. */
export const flowChecks: Readonly<Record<string, Check<KnownPatient>>> = {
  relays: ({ status, flag }) => {
    const living = status.relays.filter((relay) => relay.isAlive)
    const dead = status.relays.filter((relay) => !relay.isAlive)
    if (status.relays.length === 0) {
      const waiting = status.oldestUnpublishedMs === null ? 'nothing waits yet' : 'messages wait'
      const level = status.oldestUnpublishedMs === null ? 'warning' : 'problem'
      return [
        found(
          level,
          'NO_RELAY',
          `no relay runs, and ${waiting}`,
          'start a process that calls createRelay(…).start(): see docs/operations.md',
        ),
      ]
    }
    if (living.length === 0) return dead.map((relay) => deathOf(relay, status, flag))
    if (status.lanesWithoutRelay > 0)
      return [
        found(
          'warning',
          'LANES_WITHOUT_RELAY',
          `${String(status.lanesWithoutRelay)} of 64 lanes have no living relay: normal for the length of a lease after one died`,
          `look again: \`malote status${flag} --watch\``,
        ),
      ]
    return ok(`${String(living.length)} alive`)
  },

  'relay settings': ({ status }) => {
    const findings = status.relays.filter((relay) => relay.isAlive).flatMap(settingsOf)
    return findings.length > 0 ? findings : ok('sound')
  },

  'paused topics': async ({ client, statements, flag }) => {
    const { rows } = await client.query(statements.pausedTopics)
    if (rows.length === 0) return ok('none')
    return rows.map((row) =>
      found(
        'warning',
        'TOPIC_PAUSED',
        `topic ${String(row['topic'])} stands still, paused by ${String(row['by'])}: ${String(row['reason'])}`,
        `\`malote topics resume ${String(row['topic'])}${flag}\` when its reason is gone`,
        row['since'] as Date,
      ),
    )
  },

  breakers: ({ status }) => {
    if (status.outages.length === 0) return ok('none open')
    return status.outages.map(({ destination, sinceMs, code, message: lastWords }) =>
      destination === null
        ? found(
            'problem',
            'BROKER_UNAVAILABLE',
            `the broker has taken nothing for ${duration(sinceMs)}: ${lastWords}`,
            'bring the broker back, or correct its address and credentials; the relay goes on by itself',
            before(status, sinceMs),
          )
        : found(
            'problem',
            'DESTINATION_UNAVAILABLE',
            `${destination} has taken nothing for ${duration(sinceMs)}: ${code} ${lastWords}`,
            'mend the destination (does it exist, is it full, may we write?); the relay goes on by itself',
            before(status, sinceMs),
          ),
    )
  },

  publishing: ({ status, limits: { overdueMs }, flag }) => {
    const late = status.topics.filter((topic) => (topic.oldestUnpublishedMs ?? 0) > overdueMs)
    if (late.length === 0) return ok(`nothing is due for longer than ${duration(overdueMs)}`)
    return late.map((topic): Found => {
      const ageMs = topic.oldestUnpublishedMs ?? 0
      const parts = [
        [topic.ready, 'ready'],
        [topic.waiting, 'waiting for another attempt'],
        [topic.held, 'behind a held key'],
        [topic.overdueScheduled, 'scheduled and not fetched'],
      ].filter(([count]) => count !== 0)
      const what = parts.map(([count, words]) => `${String(count)} ${String(words)}`).join(', ')
      const published =
        topic.lastPublishedAt === null ? 'nothing was ever published' : `last published ${topic.lastPublishedAt}`
      const isOnlyHeld = topic.ready + topic.waiting + topic.overdueScheduled === 0
      const isPaused = status.pausedTopics.includes(topic.topic)
      return found(
        isOnlyHeld || isPaused ? 'warning' : 'problem',
        'OVERDUE',
        `topic ${topic.topic}: due for ${duration(ageMs)} and not published${isPaused ? ', for the topic is paused' : ''}: ${what}; ${published}`,
        `\`malote messages list --topic ${topic.topic}${flag}\`, and see the other findings for the cause`,
        before(status, ageMs),
      )
    })
  },

  retries: ({ status, limits: { overdueMs }, flag }) => {
    const groups = status.retries.filter((group) => group.oldestMs > overdueMs || group.attempts > 1)
    if (groups.length === 0) return ok('none that lasts')
    return groups.map((group) => {
      const topic = status.topics.find(({ topic }) => topic === group.topic)
      const sinceSuccess = topic?.lastPublishedAt
        ? Date.parse(status.observedAt) - Date.parse(topic.lastPublishedAt)
        : Infinity
      const isEverything = sinceSuccess > overdueMs && group.oldestMs > overdueMs
      return found(
        isEverything ? 'problem' : 'warning',
        isEverything ? 'PUBLISHING_FAILS' : 'RETRIES',
        `topic ${group.topic}: ${counted(group.messages, 'message')} ${group.messages === 1 ? 'fails' : 'fail'} with ${group.code}, up to ${String(group.attempts)} times, for ${duration(group.oldestMs)}: ${group.lastWords}`,
        `mend what the words name, before they become dead letters; \`malote messages list --topic ${group.topic} --state waiting${flag}\` shows each`,
        before(status, group.oldestMs),
      )
    })
  },

  'dead letters': ({ status, flag }) => {
    const groups = status.deadLetterGroups.map((group) =>
      found(
        'warning',
        group.reason === 'POISON' ? 'POISON' : 'DEAD_LETTERS',
        `topic ${group.topic}: ${counted(group.messages, 'dead letter')}, ${group.reason} ${group.code ?? ''}, the first ${duration(group.oldestMs)} ago: ${group.lastWords ?? ''}`,
        `mend the cause, then \`malote dead-letters replay --topic ${group.topic}${flag}\`, or discard`,
        before(status, group.oldestMs),
      ),
    )
    return groups.length > 0 ? groups : ok('none')
  },

  'held keys': ({ status, flag }) =>
    status.heldKeys === 0
      ? ok('none')
      : [
          found(
            'warning',
            'HELD_KEYS',
            `${counted(status.heldKeys, 'ordering key')} ${status.heldKeys === 1 ? 'stands' : 'stand'} still, ${counted(status.held, 'message')} behind`,
            `\`malote held-keys list${flag}\`; replay or discard the dead letter of each, or release the key`,
            before(status, status.oldestHeldKeyMs ?? 0),
          ),
        ],

  use: ({ status }) =>
    status.lastAddedAt === null
      ? [
          found(
            'warning',
            'NEVER_USED',
            'nobody has ever added a message to this outbox',
            'check that writers use this database and schema',
          ),
        ]
      : ok(
          `${String(status.addedTotal)} added, last ${status.lastAddedAt}; ${String(status.publishedTotal)} published, last ${status.lastPublishedAt ?? 'never'}`,
        ),
}
