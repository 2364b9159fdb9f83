import type { AttemptFailure, DeadLetter } from './dead-letters.ts'
import type { MessageId } from './message.ts'
import { invalidOption, numberOption } from './options.ts'
import { findMessagesStatement } from './postgres/find-messages-statement.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import type { Queryable } from './postgres/queryable.ts'
import { isUuid } from './uuid.ts'

/**
 * `ready`: for a relay to publish. `waiting`: failed, for its next attempt. `held`: behind a held key. `archived`: published, and
 * kept (`RelayOptions.afterPublish`).
 */
export type MessageState = 'ready' | 'waiting' | 'held' | 'scheduled' | 'dead' | 'archived'

export const messageStates: readonly MessageState[] = ['ready', 'waiting', 'held', 'scheduled', 'dead', 'archived']

/** What is given must match; nothing given matches all. */
export interface MessageFilter {
  readonly id?: string
  readonly topic?: string
  readonly type?: string
  readonly orderingKey?: string
  /** The archive is searched only for `archived`, or for an `id`: it may hold months. @defaultValue all others */
  readonly state?: MessageState
  /** Code of the last failure. */
  readonly failureCode?: string
  /** Why it died. */
  readonly reason?: DeadLetter['reason']
  /** Added at or after; of archived messages, published. */
  readonly since?: Date
  /** Added before; of archived messages, published. */
  readonly until?: Date
  /** @defaultValue 100 */
  readonly limit?: number
}

/** A message that is not published or is archived, without its body. */
export interface FoundMessage {
  readonly id: MessageId
  readonly topic: string
  readonly type: string
  readonly orderingKey: string | null
  readonly state: MessageState
  readonly createdAt: Date
  /** When it is tried next, or fetched; null when a time is not what it waits for. */
  readonly dueAt: Date | null
  /** Since when its key is held, or when it died, or was published. */
  readonly since: Date | null
  readonly attempts: number
  /** What it waits behind, or what it became. */
  readonly deadLetterId: string | null
  /** For people: what must happen before it goes on. */
  readonly waitsFor: string
  readonly lane: number | null
  readonly bytes: number
  /** The last ten, oldest first. */
  readonly failures: readonly AttemptFailure[]
}

/**
 * Finds messages that are not published, oldest first: what each waits for, since when, and how it failed. Walks the tables.
 * A published message is found only where it was archived: by its id, or with `state: 'archived'` by key and time.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export async function findMessages(
  db: Queryable,
  filter: MessageFilter & { readonly schema?: string } = {},
): Promise<readonly FoundMessage[]> {
  guardPool(db)
  if (filter.id !== undefined && !isUuid(filter.id)) throw invalidOption('id', filter.id, 'a UUID')
  if (filter.state !== undefined && !messageStates.includes(filter.state))
    throw invalidOption('state', filter.state, `one of ${messageStates.join(', ')}`)
  const limit = numberOption('limit', filter.limit, 100, { min: 1, max: 10_000 })
  const { id, topic, orderingKey, state, type, since, until, failureCode, reason } = filter
  const values = [id, topic, orderingKey, state, limit, type, since, until, failureCode, reason]
  const statement = findMessagesStatement(schemaOption(filter.schema), id !== undefined || state === 'archived')
  const { rows } = await db.query(statement, values.map(toParameter))
  return (rows as unknown as (FoundMessage & Obstacles)[]).map(({ heldBy, pausedBy, outage, ...message }) => ({
    ...message,
    waitsFor: waitsFor(message, { heldBy, pausedBy, outage }),
  }))
}

const toParameter = (value: string | number | Date | undefined): string | number | null =>
  value instanceof Date ? value.toISOString() : (value ?? null)

interface Obstacles {
  readonly heldBy: string | null
  readonly pausedBy: string | null
  /** The destination that takes nothing; empty for the broker as a whole. */
  readonly outage: string | null
}

function waitsFor(
  { state, deadLetterId, dueAt }: Pick<FoundMessage, 'state' | 'deadLetterId' | 'dueAt'>,
  { heldBy, pausedBy, outage }: Obstacles,
): string {
  if (state === 'archived') return 'nothing: it is published'
  if (state === 'dead') return 'an operator'
  if (state === 'scheduled') return `its time, ${dueAt?.toISOString() ?? ''}`
  if (state === 'held')
    return deadLetterId === null ? `its key, which ${heldBy ?? '?'} held` : `dead letter ${deadLetterId}`
  if (pausedBy !== null) return `its topic, which ${pausedBy} paused`
  if (outage !== null) return `${outage === '' ? 'the broker' : outage}, which takes nothing`
  return state === 'waiting' ? `its next attempt at ${dueAt?.toISOString() ?? ''}` : 'a relay'
}
