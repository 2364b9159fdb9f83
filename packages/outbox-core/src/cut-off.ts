import { type Clock, systemClock } from './clock.ts'
import { numberOption } from './options.ts'
import { cutOffStatements } from './postgres/cut-off-statements.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import type { Queryable } from './postgres/queryable.ts'

/** What `cutOff` waits for, and how long: every topic or one, and a limit of time. */
export interface CutOffOptions {
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** Only messages of this topic. @defaultValue all */
  readonly topic?: string
  /** Longest wait, in milliseconds; then `isComplete` is false. @defaultValue 300_000 */
  readonly timeoutMs?: number
  /** Told what is still waited for, at every look. */
  readonly onProgress?: (progress: CutOff) => void
  readonly clock?: Clock
}

/** Messages of one topic that are not at the broker. */
export interface LeftMessages {
  /** `unpublished`: for a relay to publish, or waiting for another attempt. */
  readonly state: 'dead' | 'held' | 'paused' | 'scheduled' | 'unpublished'
  readonly topic: string
  readonly messages: number
  readonly oldestAt: Date
}

/** A transaction that was open at the instant and is so still: it may have written messages, or may write them yet. */
export interface OpenTransaction {
  /** As PostgreSQL names it; of a prepared one its own name. */
  readonly transaction: string
  /** Null: it is prepared, and no session has it. */
  readonly pid: number | null
  readonly user: string | null
  readonly application: string | null
}

/** What a cut-off found. */
export interface CutOff {
  /** The instant, by the database's clock. */
  readonly at: Date
  /** Everything from before the instant is at the broker, but for what `left` names as dead, held, paused or scheduled. */
  readonly isComplete: boolean
  /** Empty when complete. */
  readonly openTransactions: readonly OpenTransaction[]
  readonly left: readonly LeftMessages[]
}

/** Between two looks, in milliseconds. Nothing tells of a message that is gone. */
const lookIntervalMs = 200

/**
 * Waits until everything from before this instant is at the broker: each message of a transaction that was committed, or whose
 * BEGIN was answered, before the call. For closing a day's books, for moving a topic, before a shutdown of the broker. What can not be
 * published without an operator (dead, held, paused) or is for later is named, not waited for. Writers go on meanwhile; what they begin later
 * is not waited for.
 *
 * How: the transactions open at the instant are let end. Then every message of theirs, and of those before, drew its place in
 * the order below what the sequence has reached; so when no row is left below that, all are published. Who reads much
 * in one transaction (a dump, say) is waited for too, because nobody can know that it will not write; `openTransactions` names it.
 *
 * @param db - the primary; a pool, a client outside a transaction, or anything with `query`. The role needs what a reader has.
 * @returns also when the time is up: look at `isComplete`
 * @throws OutboxError `INVALID_OPTION`. Database errors come through.
 */
export async function cutOff(db: Queryable, options: CutOffOptions = {}): Promise<CutOff> {
  guardPool(db)
  const statements = cutOffStatements(schemaOption(options.schema))
  const timeoutMs = numberOption('timeoutMs', options.timeoutMs, 300_000, { min: 0 })
  const clock = options.clock ?? systemClock
  const topic = options.topic ?? null
  const deadlineMs = clock.monotonicMs() + timeoutMs
  const first = (await db.query(statements.begun, [])).rows[0] ?? {}
  const at = first['at'] as Date

  /** Looks until there is nothing to wait for. @returns null when the time is up */
  async function wait<Result>(look: () => Promise<Result | CutOff>): Promise<Result | CutOff> {
    for (;;) {
      const result = await look()
      if (!isProgress(result)) return result
      options.onProgress?.(result)
      if (clock.monotonicMs() >= deadlineMs) return result
      await clock.sleep(lookIntervalMs)
    }
  }
  const waiting = (openTransactions: readonly OpenTransaction[], left: readonly LeftMessages[] = []): CutOff => ({
    at,
    isComplete: false,
    openTransactions,
    left,
  })

  let begun = first['open'] as readonly OpenTransaction[]
  const ended = await wait(async () => {
    const { rows } = await db.query(statements.begun, [])
    const now = new Set((rows[0]?.['open'] as OpenTransaction[] | undefined)?.map(nameOf))
    begun = begun.filter((one) => now.has(nameOf(one)))
    return begun.length === 0 ? true : waiting(begun)
  })
  if (ended !== true) return ended
  // A look of its own, after those of the sessions: who ended by being prepared is seen here.
  let prepared = await preparedNow()
  const decided = await wait(async () => {
    const now = new Set(await preparedNow())
    prepared = prepared.filter((name) => now.has(name))
    const open = prepared.map((transaction) => ({ transaction, pid: null, user: null, application: null }))
    return open.length === 0 ? true : waiting(open)
  })
  if (decided !== true) return decided
  const bound = await wait(async () => {
    const { rows } = await db.query(statements.bound, [topic, at])
    return rows[0] === undefined ? waiting([]) : String(rows[0]['bound'])
  })
  if (typeof bound !== 'string') return bound
  return wait<CutOff>(async () => {
    const left = (await db.query(statements.left, [topic, bound, at])).rows as unknown as LeftMessages[]
    const isComplete = left.every(({ state }) => state !== 'unpublished')
    return isComplete ? { ...waiting([], left), isComplete } : waiting([], left)
  })

  async function preparedNow(): Promise<readonly string[]> {
    return (await db.query(statements.prepared, [])).rows[0]?.['open'] as string[]
  }
}

const nameOf = ({ transaction }: OpenTransaction): string => transaction

/** Something is still waited for. */
function isProgress(result: unknown): result is CutOff {
  return typeof result === 'object' && result !== null && 'isComplete' in result && !(result as CutOff).isComplete
}
