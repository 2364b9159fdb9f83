import type { RelayDeadLetterReason } from './dead-letter-reason.ts'
import { OutboxError } from './errors.ts'
import type { MessageId } from './message.ts'
import { numberOption } from './options.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import { operatorStatements } from './postgres/operator-statements.ts'
import { isRefused, type Queryable } from './postgres/queryable.ts'

/** What `failures` keeps of one failed attempt. */
export interface AttemptFailure {
  /** By the database's clock, ISO 8601. */
  readonly at: string
  readonly code: string
  readonly message: string
}

/** A message that could not be published, without its body. */
export interface DeadLetter {
  /** Names this dead letter; a message replayed and dead again gets another. */
  readonly deadLetterId: string
  readonly id: MessageId
  readonly topic: string
  readonly type: string
  readonly orderingKey: string | null
  readonly attempts: number
  readonly reason: RelayDeadLetterReason
  readonly createdAt: Date
  readonly diedAt: Date
  readonly lastFailure: AttemptFailure | null
}

/** All of it. */
export interface DeadLetterDetail extends DeadLetter {
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string
  /** The last ten, oldest first. */
  readonly failures: readonly AttemptFailure[]
}

/** Which outbox `createDeadLetters` looks at. */
export interface DeadLettersOptions {
  /** A pg pool or client, or anything with its `query` method. */
  readonly db: Queryable
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
}

/** Who decides, and why: kept beside what was done. */
export interface Decision {
  /** @defaultValue the database role */
  readonly operator?: string
  readonly reason?: string
}

/** What is given must match; nothing given matches all. */
export interface DeadLetterFilter {
  readonly topic?: string
  readonly type?: string
  readonly reason?: DeadLetter['reason']
  readonly orderingKey?: string
  /** Died at or after. */
  readonly since?: Date
}

/** For operators: look at dead letters and decide what becomes of them. */
export interface DeadLetters {
  /** Newest first. `before` continues below the last `deadLetterId` of the page before. @param options.limit - default 100 */
  list(
    options?: DeadLetterFilter & { readonly before?: string; readonly limit?: number },
  ): Promise<readonly DeadLetter[]>
  /** @throws OutboxError `NOT_FOUND` */
  get(deadLetterId: string): Promise<DeadLetterDetail>
  /**
   * Puts messages back to where they stood in their order, with all their attempts, and frees the keys held for them: the
   * message goes first, then what waited behind it. What was published meanwhile (released or skipped keys) stays published.
   *
   * @returns how many there were
   * @throws OutboxError `INVALID_MESSAGE` when one of them breaks a rule of the table: then none is replayed
   */
  replay(deadLetterIds: readonly string[], decision?: Decision): Promise<number>
  /** Deletes dead letters for ever and frees the keys held for them. @returns how many there were */
  discard(deadLetterIds: readonly string[], decision?: Decision): Promise<number>
  /** Discards those that died more than `days` days ago, some hundreds at a time. @returns how many there were */
  purge(days: number, decision?: Decision): Promise<number>
}

/** Dead letters in one statement: their bodies may be large. */
const purgeBatch = 500

/** @throws OutboxError `INVALID_OPTION` */
export function createDeadLetters(options: DeadLettersOptions): DeadLetters {
  const schema = schemaOption(options.schema)
  const statements = operatorStatements(schema)
  const { db } = options
  guardPool(db)
  const change = async (
    statement: string,
    value: unknown,
    decision: Decision = {},
    ...more: number[]
  ): Promise<number> => {
    const values = [value, schema, decision.operator ?? null, decision.reason ?? null, ...more]
    const { rows } = await db.query(statement, values)
    return Number(rows[0]?.['done'])
  }

  return {
    list: async ({ topic, type, reason, orderingKey, since, before, limit } = {}) => {
      const most = numberOption('limit', limit, 100, { min: 1, max: 10_000 })
      const filter = [type, reason, orderingKey, since?.toISOString()].map((value) => value ?? null)
      const values = [topic ?? null, before ?? null, most, ...filter]
      return (await db.query(statements.listDeadLetters, values)).rows as unknown as DeadLetter[]
    },
    get: async (deadLetterId) => {
      const [row] = (await db.query(statements.getDeadLetter, [deadLetterId])).rows
      if (row === undefined) throw new OutboxError('NOT_FOUND', `there is no dead letter ${deadLetterId}`)
      return toDetail(row)
    },
    replay: async (deadLetterIds, decision) => {
      try {
        return await change(statements.replay, deadLetterIds, decision)
      } catch (error) {
        throw isRefused(error) ? unreplayable(error) : error
      }
    },
    discard: (deadLetterIds, decision) => change(statements.discard, deadLetterIds, decision),
    purge: async (days, decision) => {
      const age = numberOption('days', days, 0, { min: 0, integer: false })
      for (let total = 0; ;) {
        const purged = await change(statements.purge, age, decision, purgeBatch)
        total += purged
        if (purged < purgeBatch) return total
      }
    },
  }
}

/** Nothing was replayed: one statement does all or none. */
function unreplayable(error: unknown): OutboxError {
  const words = error instanceof Error ? error.message : String(error)
  return new OutboxError(
    'INVALID_MESSAGE',
    `PostgreSQL refuses to store one of the dead letters among the messages again, so none was replayed (${words}): replay them one by one to find it, add its message anew as the rule allows, and discard it`,
    { cause: error },
  )
}

function toDetail({ headers, payload, payloadBinary, ...row }: Record<string, unknown>): DeadLetterDetail {
  return {
    ...(row as unknown as DeadLetterDetail),
    headers: typeof headers === 'string' ? (JSON.parse(headers) as Record<string, string>) : {},
    body: (payload ?? payloadBinary) as string | Uint8Array,
  }
}
