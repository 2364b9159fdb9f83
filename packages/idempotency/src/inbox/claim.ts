import { reportTo } from '@malote/outbox-core/adapter'
import { type Queryable, quoteIdentifier, schemaOption, sqlStateOf } from '@malote/outbox-core/postgres'
import { IdempotencyError, invalidOption, wholeNumberOption } from '../errors.ts'
import type { InboxEvent } from '../events.ts'
import type { InboxMessage, InboxOptions } from './inbox.ts'
import { type InboxStatements, inboxStatements } from './statements.ts'
import { lockNumber, messageIdentity } from './message-identity.ts'

/** The part of an inbox that takes the right to apply messages, in the caller's transaction. */
export interface InboxClaim {
  readonly table: string
  readonly statements: InboxStatements
  readonly report: (event: InboxEvent) => void
  /**
   * For each message whether the caller now holds the right to apply it; false means a duplicate. Messages of one
   * identity are granted once, to the first.
   *
   * @throws as `Inbox.once`, for all of them together
   */
  take(
    db: Queryable,
    consumer: string,
    messages: readonly Omit<InboxMessage, 'consumer'>[],
  ): Promise<readonly boolean[]>
}

type BatchMessage = Omit<InboxMessage, 'consumer'>

interface Row {
  readonly consumer_id: number | null
  readonly free: boolean
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

  async function insert(
    db: Queryable,
    consumer: string,
    ids: readonly string[],
    messages: readonly BatchMessage[],
  ): Promise<Row> {
    const locks = defer ? ids.map((id) => lockNumber('malote inbox', schema, consumer, id)) : []
    const values = [consumer, ids, `${String(waitMs)}ms`, locks, messages.map((message) => message.occurredAt ?? null)]
    for (;;) {
      const { rows } = await db.query(statements.insertMessages, values)
      const row = rows[0] as unknown as Row
      if (row.consumer_id !== null) return row
      await db.query(statements.addConsumer, [consumer, values[2]])
    }
  }

  const take: InboxClaim['take'] = async (db, consumer, messages) => {
    if (typeof consumer !== 'string' || consumer === '')
      throw new IdempotencyError('INVALID_MESSAGE', "messages name no consumer: pass the handler's name")
    const ids = messages.map((message) => messageIdentity(message.messageId))
    for (const message of messages) assertTime(message, partitioned)
    const row = await insert(db, consumer, ids, messages).catch((error: unknown) => {
      throw explain(error, schema, consumer, messages, report)
    })
    const stale = messages.find((_, at) => row.stale.includes(ids[at] as string))
    if (stale !== undefined) throw staleMessage(consumer, stale, report)
    if (!row.free) throw inFlight(consumer, messages, report)
    const granted = new Set(row.inserted)
    const grants = ids.map((id) => granted.delete(id))
    if (options.onEvent !== undefined && row.inserted.length < ids.length) {
      const duplicates = ids.filter((_, at) => grants[at] === false)
      const { rows } = await db.query(statements.agesOfMessages, [row.consumer_id, duplicates])
      for (const found of rows) report({ type: 'inbox.duplicate', consumer, ageMs: Number(found['age_ms']) })
    }
    return grants
  }

  return { table: `${s}.processed_messages`, statements, report, take }
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
  const state = sqlStateOf(error)
  if (state === '55P03') return inFlight(consumer, messages, report, error)
  if (state === '42P01' || state === '3F000')
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
