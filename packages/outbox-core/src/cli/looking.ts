import { systemClock } from '../clock.ts'
import { type CutOff, cutOff } from '../cut-off.ts'
import type { DeadLetter } from '../dead-letters.ts'
import { diagnose, type Finding } from '../doctor.ts'
import { findMessages, type MessageState } from '../find-messages.ts'
import { createHeldKeys } from '../held-keys.ts'
import { listOperatorActions } from '../operator-actions.ts'
import { migrateIdempotency } from './schema-verbs.ts'
import type { RolePurpose } from '../postgres/grants.ts'
import { type OutboxStatus, outboxStatus } from '../status.ts'
import { OutboxError } from '../errors.ts'
import type { Verb } from './invocation.ts'
import { iso, seconds, table } from './output.ts'

/** Between two looks of `--watch`, in milliseconds. */
const watchIntervalMs = 2_000

export const status: Verb<{ watch?: boolean }> = async ({ client, schema, output, flags }) => {
  for (;;) {
    const now = await outboxStatus(client, schema)
    if (flags.watch === true && flags.json !== true) output.clear()
    output.print(now, statusLines(now))
    if (flags.watch !== true) return 0
    await new Promise<void>((resolve) => systemClock.after(watchIntervalMs, resolve))
  }
}

function statusLines(now: OutboxStatus): string[] {
  return [
    ...table([
      ['oldest unpublished', seconds(now.oldestUnpublishedMs)],
      ['ready', now.ready],
      ['waiting', now.waiting],
      ['held', now.held],
      ['scheduled', now.scheduled],
      ['dead letters', now.deadLetters],
      ['held keys', now.heldKeys],
      ['added', `${String(now.addedTotal)}, last ${now.lastAddedAt ?? 'never'}`],
      ['published', `${String(now.publishedTotal)}, last ${now.lastPublishedAt ?? 'never'}`],
      ['lanes without relay', now.lanesWithoutRelay],
    ]),
    ...now.pausedTopics.map((topic) => `PAUSED: topic ${topic}; see \`malote topics list\``),
    ...now.outages.map(
      ({ destination, sinceMs, backlog, message }) =>
        `OPEN for ${seconds(sinceMs)}: ${destination ?? 'the broker'}, ${String(backlog)} messages wait: ${message}`,
    ),
    ...section(
      ['topic', 'ready', 'waiting', 'held', 'dead', 'published', 'oldest', 'last published'],
      now.topics.map((topic) => [
        topic.topic,
        topic.ready,
        topic.waiting,
        topic.held,
        topic.deadLetters,
        topic.published,
        seconds(topic.oldestUnpublishedMs),
        topic.lastPublishedAt,
      ]),
    ),
    ...section(
      ['retries: topic', 'code', 'messages', 'attempts', 'oldest', 'last words'],
      now.retries.map((group) => [
        group.topic,
        group.code,
        group.messages,
        group.attempts,
        seconds(group.oldestMs),
        group.lastWords,
      ]),
    ),
    ...section(
      ['dead: topic', 'reason', 'code', 'messages', 'last words'],
      now.deadLetterGroups.map((group) => [group.topic, group.reason, group.code, group.messages, group.lastWords]),
    ),
    ...section(
      ['relay', 'name', 'alive', 'lanes', 'lease'],
      now.relays.map((relay) => [
        relay.id,
        relay.name,
        relay.isAlive ? 'yes' : 'NO',
        relay.lanes,
        `${(relay.leaseMs / 1000).toFixed(1)} s`,
      ]),
    ),
  ]
}

/** Nothing when there are no rows. */
function section(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string[] {
  return rows.length === 0 ? [] : ['', ...table([head, ...rows])]
}

/** Exit codes: 0 everything is at the broker or named, 1 the time is up. */
export const drain: Verb<{ topic?: string; timeout?: number }> = async ({ client, schema, output, flags }) => {
  const { topic, timeout = 300 } = flags
  let last = ''
  const onProgress = (progress: CutOff): void => {
    const line = cutOffLines(progress).join('; ')
    if (line !== last) output.note([`waits: ${line}`])
    last = line
  }
  const result = await cutOff(client, {
    ...schema,
    ...given({ topic }),
    timeoutMs: Math.round(timeout * 1_000),
    onProgress,
  })
  const head = result.isComplete
    ? `everything from before ${iso(result.at) ?? ''} is at the broker${result.left.length > 0 ? ', but for:' : ''}`
    : `the time is up; from before ${iso(result.at) ?? ''} there are left:`
  output.print(result, [head, ...cutOffLines(result)])
  return result.isComplete ? 0 : 1
}

function cutOffLines({ openTransactions, left }: CutOff): string[] {
  return [
    ...openTransactions.map(({ transaction, pid, application }) =>
      pid === null
        ? `prepared transaction ${transaction}`
        : `open transaction of pid ${String(pid)} (${application ?? ''})`,
    ),
    ...left.map(({ state, topic, messages }) => `${String(messages)} ${state} of topic ${topic}`),
  ]
}

/** Exit codes: 0 fine, 1 a problem, 3 could not look. */
export const doctor: Verb<{ as?: RolePurpose }> = async ({ client, schema, output, flags }) => {
  const purpose = flags.as === undefined ? {} : { purpose: flags.as }
  const idempotency = given({ migrateIdempotency: (await migrateIdempotency()) ?? undefined })
  const findings = await diagnose(client, { ...schema, ...purpose, ...idempotency })
  output.print(findings, findings.flatMap(findingLines))
  if (findings.some(({ level }) => level === 'problem')) return 1
  return findings.some(({ level }) => level === 'unseen') ? 3 : 0
}

function findingLines({ level, check, code, detail, since, mend }: Finding): string[] {
  const head = `${level.padEnd(8)} ${check.padEnd(22)} ${code === 'OK' ? '' : `${code}: `}${detail}`
  const lines = [head]
  if (since !== null) lines.push(`${' '.repeat(9)}since ${since}`)
  if (mend !== null) lines.push(`${' '.repeat(9)}mend: ${mend}`)
  return lines
}

interface MessageFlags {
  readonly topic?: string
  readonly type?: string
  readonly key?: string
  readonly state?: MessageState
  readonly failure?: string
  readonly deathReason?: DeadLetter['reason']
  readonly since?: Date
  readonly until?: Date
  readonly limit?: number
}

export const listMessages: Verb<MessageFlags> = async ({ client, schema, output, flags }) => {
  const { topic, type, key, state, failure: failureCode, deathReason: reason, since, until, limit } = flags
  const wanted = { topic, type, orderingKey: key, state, failureCode, reason, since, until, limit }
  const filter = { ...schema, ...given(wanted) }
  const messages = await findMessages(client, filter)
  const rows = messages.map((message) => [
    message.id,
    message.topic,
    message.type,
    message.orderingKey,
    message.state,
    iso(message.createdAt),
    iso(message.since),
    message.waitsFor,
    message.attempts,
    message.failures.at(-1)?.code ?? null,
  ])
  output.print(
    messages,
    table([
      ['id', 'topic', 'type', 'key', 'state', 'added', 'since', 'waits for', 'attempts', 'last failure'],
      ...rows,
    ]),
  )
  return 0
}

export const showMessage: Verb = async ({ client, schema, output, words }) => {
  const messages = await findMessages(client, { ...schema, id: words[0] ?? '' })
  if (messages.length === 0)
    throw new OutboxError(
      'NOT_FOUND',
      `no message ${words[0] ?? ''} waits, is scheduled, is dead or is archived: it was published, discarded, or never added here`,
    )
  output.print(
    messages,
    messages.flatMap(({ failures, ...message }) => [
      ...table(Object.entries(message).map(([name, value]) => [name, value instanceof Date ? iso(value) : value])),
      ...failures.map((failure) => `${failure.at}  ${failure.code}  ${failure.message}`),
    ]),
  )
  return 0
}

export const listHeldKeys: Verb = async ({ client, schema, output }) => {
  const keys = await createHeldKeys({ db: client, ...schema }).list({ limit: 1_000 })
  const rows = keys.map((key) => [
    key.topic,
    key.orderingKey,
    key.deadLetterId,
    iso(key.heldAt),
    key.heldBy,
    key.reason,
    key.waiting,
  ])
  output.print(keys, table([['topic', 'key', 'dead letter', 'held', 'by', 'reason', 'waiting'], ...rows]))
  return 0
}

export const audit: Verb<{ limit?: number }> = async ({ client, schema, output, flags }) => {
  const actions = await listOperatorActions({ db: client, ...schema, ...given({ limit: flags.limit }) })
  const rows = actions.map((action) => [
    iso(action.at),
    action.operator,
    action.databaseRole,
    action.action,
    action.affected,
    action.reason,
    action.target.map((target) => String(target['id'] ?? target['ordering_key'])).join(' '),
  ])
  output.print(actions, table([['at', 'operator', 'role', 'action', 'count', 'reason', 'target'], ...rows]))
  return 0
}

/** Without what is undefined. */
export function given<Values extends object>(values: Values): { [Key in keyof Values]?: NonNullable<Values[Key]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
