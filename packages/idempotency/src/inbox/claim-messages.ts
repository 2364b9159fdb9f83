import { reportTo } from '@malote/outbox-core/adapter'
import { type Queryable, quoteIdentifier, schemaOption, sqlStateOf } from '@malote/outbox-core/postgres'
import { IdempotencyError, invalidOption, wholeNumberOption } from '../errors.ts'
import type { InboxEvent } from '../events.ts'
import { claimAnswer } from '../database/claim-answer.ts'
import type { BatchMessage, InboxOptions } from './options.ts'
import type { Statement } from '../database/statement.ts'
import { type InboxStatements, inboxStatements } from './statements.ts'
import { lockNumber, messageIdentity } from './message-identity.ts'

/** The part of an inbox that takes the right to apply messages. */
export interface InboxClaim {
  readonly table: string
  readonly statements: InboxStatements
  readonly report: (event: InboxEvent) => void
  /**
   * What to ask the database, in the caller's transaction, which `judge` is then told the answer of.
   *
   * @throws IdempotencyError `INVALID_MESSAGE`
   */
  statement(consumer: string, messages: readonly BatchMessage[]): Statement
  /**
   * For each message whether the caller now holds the right to apply it; false means a duplicate. Messages of one
   * identity are granted once, to the first.
   *
   * @throws as `Inbox.once`, for all of them together
   */
  judge(
    db: Queryable,
    consumer: string,
    messages: readonly BatchMessage[],
    row: Record<string, unknown> | undefined,
  ): Promise<Grants>
  /** What an error of the statement means. */
  explain(error: unknown, consumer: string, messages: readonly BatchMessage[]): unknown
}

/** What a transaction was granted. */
export interface Grants {
  /** One for each message, in the order given. */
  readonly grants: readonly boolean[]
  /** The number of the transaction, by which PostgreSQL knows later what became of it. Empty when nothing was granted. */
  readonly transaction: string
}

/** What `claim_messages_v1` answers when not all of the messages are new. */
interface Answer {
  readonly is_free: boolean
  readonly consumer_id: number
  readonly stale: string[]
  readonly inserted: string[]
}

/** @throws IdempotencyError `INVALID_OPTION` */
export function createInboxClaim(options: InboxOptions): InboxClaim {
  const schema = schemaOption(options.schema)
  const s = quoteIdentifier(schema)
  const waitMs = wholeNumberOption('waitMs', options.waitMs, 2_000, { min: 1, max: 600_000 })
  const defer = choice('inFlight', options.inFlight ?? 'wait', ['wait', 'defer']) === 'defer'
  const partitioned = choice('profile', options.profile ?? 'simple', ['simple', 'partitioned']) === 'partitioned'
  const statements = inboxStatements(s, partitioned)
  const report = reportTo(options.onEvent)
  const waitLimit = `${String(waitMs)}ms`

  function statement(consumer: string, messages: readonly BatchMessage[]): Statement {
    if (typeof consumer !== 'string' || consumer === '')
      throw new IdempotencyError('INVALID_MESSAGE', "messages name no consumer: pass the handler's name")
    const ids = messages.map((message) => messageIdentity(message.messageId))
    for (const message of messages) assertTime(message, partitioned)
    const locks = defer ? ids.map((id) => lockNumber('malote inbox', schema, consumer, id)) : []
    const times = messages.map((message) => message.occurredAt?.toISOString() ?? null)
    const [id, time] = [ids[0] ?? null, times[0] ?? null]
    if (ids.length === 1 && !defer) return statements.claimOne(consumer, id, time, waitLimit)
    return statements.claim(consumer, ids, times, waitLimit, locks)
  }

  const judge: InboxClaim['judge'] = async (db, consumer, messages, row) => {
    let answer = claimAnswer(row, 'new')
    while (answer.text === 'unknown') {
      await db.query(statements.addConsumer, [consumer, waitLimit])
      const { text, values } = statement(consumer, messages)
      answer = claimAnswer((await db.query(text, [...values])).rows[0], 'new')
    }
    const { transaction = '' } = answer
    if (answer.isClaimed) return { grants: messages.map(() => true), transaction }
    const { is_free, consumer_id, stale, inserted } = JSON.parse(answer.text) as Answer
    const ids = messages.map((message) => messageIdentity(message.messageId))
    const tooOld = messages.find((_, at) => stale.includes(ids[at] as string))
    if (tooOld !== undefined) throw staleMessage(consumer, tooOld, report)
    if (!is_free) throw inFlight(consumer, messages, report)
    const granted = new Set(inserted)
    const grants = ids.map((id) => granted.delete(id))
    if (options.onEvent !== undefined) {
      const duplicates = ids.filter((_, at) => grants[at] === false)
      const { rows } = await db.query(statements.agesOfMessages, [consumer_id, duplicates])
      for (const found of rows) report({ type: 'inbox.duplicate', consumer, ageMs: Number(found['age_ms']) })
    }
    return { grants, transaction }
  }

  return {
    table: `${s}.processed_messages`,
    statements,
    report,
    statement,
    judge,
    explain: (error, consumer, messages) => explain(error, schema, consumer, messages, report),
  }
}

/** @throws IdempotencyError `INVALID_MESSAGE` */
function assertTime(message: BatchMessage, partitioned: boolean): void {
  if (partitioned && message.occurredAt === undefined)
    throw new IdempotencyError(
      'INVALID_MESSAGE',
      `message ${message.messageId} has no occurredAt: the partitioned profile needs the producer's time (createdAt)`,
    )
  if (message.occurredAt !== undefined && Number.isNaN(message.occurredAt.getTime()))
    throw new IdempotencyError('INVALID_MESSAGE', `message ${message.messageId} has an invalid occurredAt`)
}

function explain(
  error: unknown,
  schema: string,
  consumer: string,
  messages: readonly BatchMessage[],
  report: (event: InboxEvent) => void,
): unknown {
  if (error instanceof IdempotencyError) return error
  const state = sqlStateOf(error)
  if (state === '55P03') return inFlight(consumer, messages, report, error)
  if (state === '42P01' || state === '3F000' || state === '42883')
    return new IdempotencyError(
      'SCHEMA_MISSING',
      `the inbox tables are not in schema "${schema}": run migrateIdempotency(db) first`,
      { cause: error },
    )
  // Only a partitioned table reports 23514 here: no partition holds the day of one of them.
  return state === '23514' ? staleMessage(consumer, messages[0] as BatchMessage, report, error) : error
}

function inFlight(
  consumer: string,
  messages: readonly BatchMessage[],
  report: (event: InboxEvent) => void,
  cause?: unknown,
): IdempotencyError {
  report({ type: 'inbox.in-flight', consumer })
  const which =
    messages.length === 1
      ? `message ${(messages[0] as BatchMessage).messageId}`
      : `one of ${String(messages.length)} messages`
  return new IdempotencyError(
    'IN_FLIGHT',
    `${which} is being applied by another transaction of consumer "${consumer}": do not acknowledge it, let it be delivered again`,
    { cause },
  )
}

function staleMessage(
  consumer: string,
  message: BatchMessage,
  report: (event: InboxEvent) => void,
  cause?: unknown,
): IdempotencyError {
  report({ type: 'inbox.stale', consumer })
  return new IdempotencyError(
    'STALE_MESSAGE',
    `message ${message.messageId} of ${String(message.occurredAt?.toISOString())} is outside the days consumer "${consumer}" keeps proof for: park it, it may have been applied already`,
    { cause },
  )
}

function choice<Value extends string>(name: string, value: Value, allowed: readonly Value[]): Value {
  if (!allowed.includes(value)) throw invalidOption(name, allowed.map((one) => `"${one}"`).join(' or '))
  return value
}
