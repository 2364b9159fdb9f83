import { type OutboxTransaction, transactionQueryable } from '@malote/outbox-core/postgres'
import { isUnavailable } from '../database/unavailable.ts'
import { createInboxClaim } from './claim-messages.ts'
import { createFailedStreams } from './failed-streams.ts'
import type { BatchMessage, InboxMessage, InboxOptions } from './options.ts'
import { retryTransient } from '../database/retry-transient.ts'
import {
  type Database,
  databaseOption,
  type OpenTransaction,
  runTransaction,
  type TransactionOf,
} from '../database/transaction.ts'
import { EffectsWithProof, explainEnd, judgeAfterwards, judgeInside } from './effects-with-proof.ts'
import { assertStillIn } from './statements.ts'

/** `processed`: `fn` ran in this transaction. `duplicate`: an earlier transaction has committed it; acknowledge and go on. */
export type InboxResult = 'processed' | 'duplicate'

/** What became of one message of a batch. */
export type BatchResult = InboxResult | { readonly failed: unknown }

/** Makes a handler's effect happen once for each message, by keeping the proof in the transaction of the effect. */
export interface Inbox {
  /**
   * Runs `fn` unless this consumer has applied the message before. The proof, the effect and whatever `fn` adds to the
   * outbox commit together, in the caller's transaction; acknowledge the message only after that commit.
   *
   * @param tx - a Kysely `Transaction`, a pg client after BEGIN, or a `Queryable` of such a transaction; `fn` uses it too
   * @throws IdempotencyError `IN_FLIGHT` (roll back and let the broker deliver again), `STALE_MESSAGE` (older than what was
   *   purged: park it), `INVALID_MESSAGE`, `SCHEMA_MISSING`; OutboxError `NOT_A_TRANSACTION`. When `fn` throws, its error
   *   comes through and the transaction can only be rolled back (to the caller's savepoint, if there is one). `NOT_A_TRANSACTION`
   *   when `fn` ended the transaction: a `PermanentFailure` if that was by COMMIT, for then the proof stays. Not seen here, but in
   *   `transact`: an `fn` that commits, begins another transaction and fails a statement in it.
   */
  once(tx: OutboxTransaction, message: InboxMessage, fn: () => Promise<void>): Promise<InboxResult>

  /**
   * `once` for many messages of one consumer in one statement: `fn` gets those that are new, in the order given, and is
   * not called when there are none. All or none: one message in flight or stale, or `fn` throwing, fails the batch.
   *
   * @returns one result per message, in the order given
   * @throws as `once`
   */
  onceBatch<Message extends BatchMessage>(
    tx: OutboxTransaction,
    consumer: string,
    messages: readonly Message[],
    fn: (fresh: readonly Message[]) => Promise<void>,
  ): Promise<readonly InboxResult[]>

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

  /**
   * `onceBatch` in a transaction of its own. When the batch fails, each message is tried alone in one of its own, so that a
   * poison message costs its neighbours time and nothing else. What follows it in its `stream` is not tried, and fails with
   * IdempotencyError `PREDECESSOR_FAILED`: it must come again behind it.
   *
   * @returns one result per message, in the order given; a failed one carries its error and must not be acknowledged
   */
  transactBatch<Db extends Database, Message extends BatchMessage>(
    db: Db,
    consumer: string,
    messages: readonly Message[],
    fn: (tx: TransactionOf<Db>, fresh: readonly Message[]) => Promise<void>,
  ): Promise<readonly BatchResult[]>
}

/** Creates an inbox. Holds no connection: one per process is plenty. @throws IdempotencyError `INVALID_OPTION` */
export function createInbox(options: InboxOptions = {}): Inbox {
  const claim = createInboxClaim(options)

  async function apply<Message extends BatchMessage>(
    consumer: string,
    messages: readonly Message[],
    grants: readonly boolean[],
    fn: (fresh: readonly Message[]) => Promise<void>,
  ): Promise<readonly InboxResult[]> {
    const fresh = messages.filter((_, at) => grants[at])
    if (fresh.length > 0) await fn(fresh)
    for (let count = 0; count < fresh.length; count++) claim.report({ type: 'inbox.processed', consumer })
    return grants.map((granted) => (granted ? 'processed' : 'duplicate'))
  }

  /** In a transaction the caller opened and will end. */
  async function applyIn<Message extends BatchMessage>(
    tx: OutboxTransaction,
    consumer: string,
    messages: readonly Message[],
    fn: (fresh: readonly Message[]) => Promise<void>,
  ): Promise<readonly InboxResult[]> {
    const { text, values } = claim.statement(consumer, messages)
    const db = await transactionQueryable(tx, claim.table)
    const { grants, transaction } = await db
      .query(text, [...values])
      .then(({ rows }) => claim.judge(db, consumer, messages, rows[0]))
      .catch((error: unknown) => {
        throw claim.explain(error, consumer, messages)
      })
    return apply(consumer, messages, grants, async (fresh) => {
      try {
        await fn(fresh)
        const check = assertStillIn(transaction)
        await db.query(check.text, [...check.values])
      } catch (error) {
        const why = await judgeInside(db, transaction, explainEnd(error))
        // Fails by design; also when the transaction has failed already, which is just as good.
        await db.query(claim.statements.abort, []).catch(() => {})
        throw why ?? error
      }
    })
  }

  async function transactAll<Db extends Database, Message extends BatchMessage>(
    db: Db,
    consumer: string,
    messages: readonly Message[],
    fn: (tx: TransactionOf<Db>, fresh: readonly Message[]) => Promise<void>,
  ): Promise<readonly InboxResult[]> {
    const opening = { statements: [claim.statement(consumer, messages)] }

    async function once(): Promise<readonly InboxResult[] | EffectsWithProof> {
      let begun: string | null = null
      let isToldInside = false
      const work = async (open: OpenTransaction<Db>): Promise<readonly InboxResult[]> => {
        const { tx, sql, rows } = open
        const { grants, transaction } = await claim.judge(sql, consumer, messages, rows[0])
        begun = transaction
        return apply(consumer, messages, grants, async (fresh) => {
          await fn(tx, fresh).catch(async (error: unknown) => {
            const why = await judgeInside(sql, transaction, error)
            isToldInside = why !== undefined
            throw why ?? error
          })
          // A handler that swallowed a database error has its COMMIT turned into a ROLLBACK, and its message lost in silence.
          open.endAsBegun(assertStillIn(transaction))
        })
      }
      try {
        return await runTransaction(db, 'read committed', work, opening)
      } catch (error) {
        if (begun === null) throw claim.explain(error, consumer, messages)
        const why = isToldInside ? error : await judgeAfterwards(db, begun, explainEnd(error))
        // Never run again, whatever conflict the handler threw afterwards: it would be a duplicate.
        if (why instanceof EffectsWithProof) return why
        throw why
      }
    }
    const results = await retryTransient(once)
    if (results instanceof EffectsWithProof) throw results
    return results
  }

  return {
    once: async (tx, message, fn) => first(await applyIn(tx, message.consumer, [message], fn)),
    onceBatch: applyIn,
    transact: async (db, message, fn) => {
      databaseOption(db)
      return first(await transactAll(db, message.consumer, [message], fn))
    },
    transactBatch: async (db, consumer, messages, fn) => {
      databaseOption(db)
      const attempt = async (some: typeof messages): Promise<Attempted> => {
        let begun = false
        let given = some
        try {
          const results = await transactAll(db, consumer, some, (tx, fresh) => {
            begun = true
            given = fresh
            return fn(tx, fresh)
          })
          return { results, isDown: false }
        } catch (error) {
          const isDown = !begun && isUnavailable(error)
          if (!(error instanceof EffectsWithProof)) return { results: some.map(() => ({ failed: error })), isDown }
          const kept = new Set(given)
          const results = some.map((one) => (kept.has(one) ? { failed: error } : ('duplicate' as const)))
          return { results, isDown, isKept: true }
        }
      }
      const { results, isDown, isKept } = await attempt(messages)
      if (isDown || isKept || messages.length === 1 || results.every((result) => typeof result === 'string'))
        return results
      return oneByOne(messages, (message) => attempt([message]))
    },
  }
}

/** What came of some messages. `isDown`: the database did not even let their transaction begin. */
interface Attempted {
  readonly results: readonly BatchResult[]
  readonly isDown: boolean
  /** Their handler has committed by itself: alone each would be a duplicate. */
  readonly isKept?: boolean
}

/** The batch left nothing behind, or its commit is unknown; either way the inbox tells for each message. */
async function oneByOne<Message extends BatchMessage>(
  messages: readonly Message[],
  attempt: (message: Message) => Promise<Attempted>,
): Promise<readonly BatchResult[]> {
  const results: BatchResult[] = []
  const streams = createFailedStreams()
  for (const message of messages) {
    const heldBack = streams.refuse(message)
    if (heldBack !== null) {
      results.push({ failed: heldBack })
      continue
    }
    const { results: found, isDown } = await attempt(message)
    const [result] = found as readonly [BatchResult]
    // The others would each wait for the same database.
    if (isDown) return messages.map((_, at) => results[at] ?? result)
    if (typeof result !== 'string') streams.fail(message)
    results.push(result)
  }
  return results
}

function first(results: readonly InboxResult[]): InboxResult {
  return results[0] as InboxResult
}
