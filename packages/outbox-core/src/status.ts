import type { RelayDeadLetterReason } from './dead-letter-reason.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import type { Queryable } from './postgres/queryable.ts'
import { statusStatement } from './postgres/status-statements.ts'

/** What is in the outbox at one instant. Ages are in milliseconds and instants in ISO 8601, all by the database's clock. */
export interface OutboxStatus {
  /** When it was read. */
  readonly observedAt: string
  /** Messages that nothing but a relay keeps from being published, or that are in flight. */
  readonly ready: number
  /** Messages that failed and wait for another attempt. */
  readonly waiting: number
  /** Messages behind a held key. */
  readonly held: number
  /** Messages for later, those that are due by now and not fetched yet included. */
  readonly scheduled: number
  readonly deadLetters: number
  readonly heldKeys: number
  /** Since the first of them stands still; null when there is none. */
  readonly oldestHeldKeyMs: number | null
  /**
   * Age of the oldest message that is due and not published, whatever it waits for: a relay, its next attempt, a held key,
   * a broker. Null when there is none. This is the number to alarm on. A replayed dead letter counts from when it was added.
   */
  readonly oldestUnpublishedMs: number | null
  /**
   * Messages ever added, as far as is known: published, plus what is here. Discarded dead letters are not in it, and what
   * was published before migration 0004 is not.
   */
  readonly addedTotal: number
  readonly publishedTotal: number
  /** Null: nobody ever added anything. */
  readonly lastAddedAt: string | null
  readonly lastPublishedAt: string | null
  /** The one that waits longest first. */
  readonly topics: readonly TopicStatus[]
  /** Messages that wait for another attempt, by topic and code of their last failure; the largest group first. */
  readonly retries: readonly FailureGroup[]
  readonly deadLetterGroups: readonly DeadLetterGroup[]
  /** What relays find out of reach now. */
  readonly outages: readonly OutageStatus[]
  /** Topics that an operator paused. */
  readonly pausedTopics: readonly string[]
  readonly relays: readonly RelayStatus[]
  /** Lanes that no living relay owns: 64 when none lives, and some until the others have taken over what a dead one had. */
  readonly lanesWithoutRelay: number
}

/** A destination, or the broker as a whole, that takes nothing. Its messages wait and pay nothing. */
export interface OutageStatus {
  /** As the publisher names it; null for the broker as a whole. */
  readonly destination: string | null
  /** Topics that stand still for it; empty for the broker as a whole, for which all do. */
  readonly topics: readonly string[]
  /** ISO 8601, by the database's clock. */
  readonly since: string
  readonly sinceMs: number
  /** Messages of these topics that are ready or wait for an attempt. */
  readonly backlog: number
  /** The broker's last words when the outage was noted. */
  readonly code: string
  readonly message: string
}

/**
 * How one topic is, for a dashboard: messages by state, and how long the oldest one has waited. Ages are in milliseconds by the
 * database's clock, instants are ISO 8601 in UTC.
 */
export interface TopicStatus {
  readonly topic: string
  readonly ready: number
  readonly waiting: number
  readonly held: number
  /** Due by now, and not fetched by a relay. */
  readonly overdueScheduled: number
  readonly deadLetters: number
  readonly published: number
  readonly oldestUnpublishedMs: number | null
  readonly lastAddedAt: string | null
  readonly lastPublishedAt: string | null
}

/** Messages of one topic that keep failing for the same reason, counted together, so that an operator sees causes and not messages. */
export interface FailureGroup {
  readonly topic: string
  readonly code: string
  readonly messages: number
  /** Most attempts that one of them has behind it. */
  readonly attempts: number
  readonly oldestMs: number
  /** What the broker said to the last of them. */
  readonly lastWords: string
}

/** Dead letters of one topic that died for the same reason, counted together. Ages are in milliseconds by the database's clock. */
export interface DeadLetterGroup {
  readonly topic: string
  readonly reason: RelayDeadLetterReason
  readonly code: string | null
  readonly messages: number
  /** Since the first of them died. */
  readonly oldestMs: number
  readonly lastWords: string | null
}

/** One relay as the database knows it: whether it is alive, which lanes it holds, and what it last reported of itself. */
export interface RelayStatus {
  readonly id: string
  readonly name: string
  /** Its lease holds, and so does the session that proves its presence. */
  readonly isAlive: boolean
  /** Its session lives, which says nothing about the process behind it. Null: it runs without one. */
  readonly isConnected: boolean | null
  readonly lanes: number
  readonly startedAt: string
  /** Milliseconds until the lease runs out; negative when it has. */
  readonly leaseMs: number
  /** As it was set up, like all that follows; null when it does not say, as relays of earlier versions. */
  readonly fullLeaseMs: number | null
  readonly publishTimeoutMs: number | null
  /** False: a pooler in transaction mode stands between it and the database. Null: it was told to do without a session. */
  readonly hasSession: boolean | null
  /** False: it listens and hears nothing, so it only polls. */
  readonly hearsDoorbell: boolean | null
}

/**
 * Reads the status in one snapshot. Needs `select` on the tables of the schema and nothing else. Counts rows: on a backlog of
 * millions it takes its time.
 */
export async function outboxStatus(db: Queryable, options: { readonly schema?: string } = {}): Promise<OutboxStatus> {
  guardPool(db)
  const { rows } = await db.query(statusStatement(schemaOption(options.schema)), [])
  return JSON.parse(String(rows[0]?.['status'])) as OutboxStatus
}
