import {
  type OutboxTransaction,
  type Queryable,
  quoteIdentifier,
  schemaOption,
  sqlStateOf,
  transactionQueryable,
} from '@malote/outbox-core/postgres'
import { IdempotencyError, invalidOption, wholeNumberOption } from './errors.ts'
import type { InboxEvent } from './events.ts'
import { inboxStatements } from './inbox-statements.ts'
import { lockNumber, messageIdentity } from './message-identity.ts'
import {
  commitTells,
  type Database,
  databaseOption,
  retryTransient,
  runTransaction,
  type TransactionOf,
} from './transaction.ts'

export interface InboxOptions {
  /** Schema the inbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /**
   * What happens to a second copy of a message while the first is still being applied. `wait`: it waits up to `waitMs`
   * for the first one's outcome. `defer`: it fails at once with `IN_FLIGHT`. Either way it is never reported as a
   * duplicate before the first has committed.
   *
   * @defaultValue "wait": copies are rare and short; choose "defer" when many consumers compete
   */
  readonly inFlight?: 'wait' | 'defer'
  /**
   * Longest wait for a first copy, in milliseconds. Keep it below the broker's visibility timeout.
   *
   * @defaultValue 2_000: longer than a usual handler, shorter than any visibility timeout
   */
  readonly waitMs?: number
  /**
   * `simple`: one table, purged by time. `partitioned`: one partition for each day of the producer, purged by dropping
   * it; for tens of millions of live rows. Needs `occurredAt` on every message and `maintainInbox` run daily.
   *
   * @defaultValue "simple"
   */
  readonly profile?: 'simple' | 'partitioned'
  /** Told what happens; never given payloads. Must not throw. */
  readonly onEvent?: (event: InboxEvent) => void
}

/** Which message, and for whom it is applied. */
export interface InboxMessage {
  /** The handler: each consumer name applies a message once, whatever the others do. */
  readonly consumer: string
  /** The producer's message id, the same on every redelivery. Not the broker's delivery id: a re-publish changes that. */
  readonly messageId: string
  /** When the producer made the message (`ReceivedMessage.createdAt`). With it, a message older than the purge is refused. */
  readonly occurredAt?: Date
}

/** `processed`: `fn` ran in this transaction. `duplicate`: an earlier transaction has committed it; acknowledge and go on. */
export type InboxResult = 'processed' | 'duplicate'

/** Makes a handler's effect happen once for each message, by keeping the proof in the transaction of the effect. */
export interface Inbox {
  /**
   * Runs `fn` unless this consumer has applied the message before. The proof, the effect and whatever `fn` adds to the
   * outbox commit together, in the caller's transaction; acknowledge the message only after that commit.
   *
   * @param tx - a Kysely `Transaction`, a pg client after BEGIN, or a `Queryable` of such a transaction; `fn` uses it too
   * @throws IdempotencyError `IN_FLIGHT` (roll back and let the broker deliver again), `STALE_MESSAGE` (older than what was
   *   purged: park it), `INVALID_MESSAGE`, `SCHEMA_MISSING`; OutboxError `NOT_A_TRANSACTION`. When `fn` throws, its error
   *   comes through and the transaction can only be rolled back (to the caller's savepoint, if there is one).
   */
  once(tx: OutboxTransaction, message: InboxMessage, fn: () => Promise<void>): Promise<InboxResult>

  /**
   * `once` in a transaction of its own (READ COMMITTED), run again when PostgreSQL reports a deadlock or serialization
   * failure; `fn` must have no effect outside `tx`. Resolves after COMMIT: acknowledge then.
   *
   * @throws as `once`, and IdempotencyError `COMMIT_UNKNOWN`: do not acknowledge, the redelivery finds out
   */
  transact<Db extends Database>(
    db: Db,
    message: InboxMessage,
    fn: (tx: TransactionOf<Db>) => Promise<void>,
  ): Promise<InboxResult>
}

/** Creates an inbox. Holds no connection: one per process is plenty. @throws IdempotencyError `INVALID_OPTION` */
export function createInbox(options: InboxOptions = {}): Inbox {
  const claim = createInboxClaim(options)

  async function apply(
    tx: OutboxTransaction,
    message: InboxMessage,
    fn: () => Promise<void>,
    commitTells: boolean,
  ): Promise<InboxResult> {
    const db = await transactionQueryable(tx, claim.table)
    if (!(await claim.take(db, message))) return 'duplicate'
    try {
      await fn()
      // A handler that swallowed a database error has its COMMIT turned into a ROLLBACK, and its message lost in silence.
      if (!commitTells) await db.query('select 1', [])
    } catch (error) {
      // Fails by design; also when the transaction has failed already, which is just as good.
      await db.query(claim.statements.abort, []).catch(() => {})
      throw error
    }
    claim.report({ type: 'inbox.processed', consumer: message.consumer })
    return 'processed'
  }

  return {
    once: (tx, message, fn) => apply(tx, message, fn, false),
    transact: async (db, message, fn) => {
      databaseOption(db)
      return retryTransient(() =>
        runTransaction(db, 'read committed', ({ tx }) =>
          apply(tx as OutboxTransaction, message, () => fn(tx), commitTells(db)),
        ),
      )
    },
  }
}

/** The part of an inbox that takes the right to apply a message. */
export interface InboxClaim {
  readonly table: string
  readonly statements: ReturnType<typeof inboxStatements>
  readonly report: (event: InboxEvent) => void
  /** Whether the caller now holds the right: false means a committed duplicate. @throws as `Inbox.once` */
  take(db: Queryable, message: InboxMessage): Promise<boolean>
}

export function createInboxClaim(options: InboxOptions): InboxClaim {
  const schema = schemaOption(options.schema)
  const s = quoteIdentifier(schema)
  const waitMs = wholeNumberOption('waitMs', options.waitMs, 2_000, { min: 1, max: 600_000 })
  const defer = choice('inFlight', options.inFlight ?? 'wait', ['wait', 'defer']) === 'defer'
  const partitioned = choice('profile', options.profile ?? 'simple', ['simple', 'partitioned']) === 'partitioned'
  const statements = inboxStatements(s, partitioned)
  const report = options.onEvent ?? (() => {})

  async function insert(db: Queryable, message: InboxMessage, id: string): Promise<Row> {
    const lock = defer ? lockNumber('malote inbox', schema, message.consumer, id) : null
    const values = [message.consumer, id, `${String(waitMs)}ms`, lock, message.occurredAt ?? null]
    for (;;) {
      const { rows } = await db.query(statements.insertMessage, values)
      const row = rows[0] as unknown as Row
      if (row.consumer_id !== null) return row
      await db.query(statements.addConsumer, [message.consumer])
    }
  }

  async function take(db: Queryable, message: InboxMessage): Promise<boolean> {
    const id = messageIdentity(message.messageId)
    assertComplete(message, partitioned)
    const row = await insert(db, message, id).catch((error: unknown) => {
      throw explain(error, message, schema, report)
    })
    if (row.stale) throw stale(message, report)
    if (!row.free) throw inFlight(message, report)
    if (row.inserted) return true
    if (options.onEvent !== undefined) report(await duplicateEvent(db, message, row.consumer_id, id))
    return false
  }

  async function duplicateEvent(db: Queryable, message: InboxMessage, consumerId: unknown, id: string) {
    const values = [consumerId, id, ...(partitioned ? [message.occurredAt] : [])]
    const { rows } = await db.query(statements.ageOfMessage, values)
    const ageMs = Number(rows[0]?.['age_ms'] ?? 0)
    return { type: 'inbox.duplicate', consumer: message.consumer, ageMs } as const
  }

  return { table: `${s}.processed_messages`, statements, report, take }
}

interface Row {
  readonly consumer_id: number | null
  readonly free: boolean
  readonly stale: boolean
  readonly inserted: boolean
}

/** @throws IdempotencyError `INVALID_MESSAGE` */
function assertComplete(message: InboxMessage, partitioned: boolean): void {
  if (typeof message.consumer !== 'string' || message.consumer === '')
    throw new IdempotencyError(
      'INVALID_MESSAGE',
      `message ${message.messageId} names no consumer: pass the handler's name`,
    )
  if (partitioned && message.occurredAt === undefined)
    throw new IdempotencyError(
      'INVALID_MESSAGE',
      `message ${message.messageId} has no occurredAt: the partitioned profile needs the producer's time (createdAt)`,
    )
  if (message.occurredAt !== undefined && Number.isNaN(message.occurredAt.getTime()))
    throw new IdempotencyError('INVALID_MESSAGE', `message ${message.messageId} has an invalid occurredAt`)
}

function explain(error: unknown, message: InboxMessage, schema: string, report: (event: InboxEvent) => void): unknown {
  const state = sqlStateOf(error)
  if (state === '55P03') return inFlight(message, report, error)
  if (state === '42P01' || state === '3F000')
    return new IdempotencyError(
      'SCHEMA_MISSING',
      `the inbox tables are not in schema "${schema}": run migrateIdempotency(db) first`,
      { cause: error },
    )
  // Only a partitioned table reports 23514 here: no partition holds the message's day.
  return state === '23514' ? stale(message, report, error) : error
}

function inFlight(message: InboxMessage, report: (event: InboxEvent) => void, cause?: unknown): IdempotencyError {
  report({ type: 'inbox.in-flight', consumer: message.consumer })
  return new IdempotencyError(
    'IN_FLIGHT',
    `message ${message.messageId} is being applied by another transaction of consumer "${message.consumer}": do not acknowledge it, let it be delivered again`,
    { cause },
  )
}

function stale(message: InboxMessage, report: (event: InboxEvent) => void, cause?: unknown): IdempotencyError {
  report({ type: 'inbox.stale', consumer: message.consumer })
  return new IdempotencyError(
    'STALE_MESSAGE',
    `message ${message.messageId} of ${String(message.occurredAt?.toISOString())} is outside the days consumer "${message.consumer}" keeps proof for: park it, it may have been applied already`,
    { cause },
  )
}

function choice<Value extends string>(name: string, value: Value, allowed: readonly Value[]): Value {
  if (!allowed.includes(value)) throw invalidOption(name, allowed.map((one) => `"${one}"`).join(' or '))
  return value
}
