import { guardPool } from './postgres/guard-pool.ts'
import { quoteIdentifier, schemaOption } from './postgres/identifiers.ts'
import type { Queryable } from './postgres/queryable.ts'

/** What is in the outbox at one instant. */
export interface OutboxStatus {
  /** Messages ready to be published, or in flight. */
  readonly ready: number
  /** Messages waiting for another attempt. */
  readonly waiting: number
  /** Messages that are not due yet. */
  readonly scheduled: number
  readonly deadLetters: number
  readonly heldKeys: number
  /** Age of the oldest ready message in milliseconds, by the database's clock; null when there is none. */
  readonly oldestReadyMs: number | null
  /** What relays find out of reach now. */
  readonly outages: readonly OutageStatus[]
  /** Topics that an operator paused. */
  readonly pausedTopics: readonly string[]
  readonly relays: readonly RelayStatus[]
  /** Lanes nobody owns: 0 while a relay lives, 64 when none does. */
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
  /** Messages of these topics that are ready or wait for an attempt. */
  readonly backlog: number
  /** The broker's last words when the outage was noted. */
  readonly code: string
  readonly message: string
}

export interface RelayStatus {
  readonly id: string
  readonly name: string
  readonly lanes: number
  /** Milliseconds until the lease runs out; negative when it has. */
  readonly leaseMs: number
}

/** Reads the status in one snapshot. Counts rows: on a backlog of millions it takes its time. */
export async function outboxStatus(db: Queryable, options: { readonly schema?: string } = {}): Promise<OutboxStatus> {
  guardPool(db)
  const s = quoteIdentifier(schemaOption(options.schema))
  const { rows } = await db.query(
    `select
      (select count(*) from ${s}.messages where available_at is null)::float8 as ready,
      (select count(*) from ${s}.messages where available_at is not null)::float8 as waiting,
      (select count(*) from ${s}.scheduled_messages)::float8 as scheduled,
      (select count(*) from ${s}.dead_letters)::float8 as dead_letters,
      (select count(*) from ${s}.held_keys)::float8 as held_keys,
      (select extract(epoch from clock_timestamp() - min(created_at)) * 1000 from ${s}.messages where available_at is null)::float8 as oldest_ready_ms,
      (select count(*) from ${s}.lanes where owner is null)::float8 as lanes_without_relay,
      (select coalesce(json_agg(json_build_object('destination', nullif(o.destination, ''), 'topics', o.topics, 'since', o.since,
          'code', o.code, 'message', o.message, 'backlog', (select count(*) from ${s}.messages as m
            where o.destination = '' or m.topic = any(o.topics))) order by o.since), '[]')
        from (
          select destination, array_remove(array_agg(distinct stopped.topic), null) as topics,
            min(outages.started_at) as since, min(code) as code, min(message) as message
          from ${s}.outages join ${s}.relays as finder on finder.id = outages.relay left join lateral unnest(topics) as stopped (topic) on true
          group by destination) as o)::text as outages,
      (select coalesce(json_agg(topic order by paused_at), '[]') from ${s}.paused_topics)::text as paused_topics,
      (select coalesce(json_agg(json_build_object('id', relay.id, 'name', relay.name,
          'lanes', (select count(*) from ${s}.lanes where owner = relay.id),
          'leaseMs', round(extract(epoch from relay.lease_until - clock_timestamp()) * 1000)) order by relay.started_at), '[]')
        from ${s}.relays as relay)::text as relays`,
    [],
  )
  const row = rows[0] as Record<string, unknown>
  const number = (name: string): number => Number(row[name])
  return {
    ready: number('ready'),
    waiting: number('waiting'),
    scheduled: number('scheduled'),
    deadLetters: number('dead_letters'),
    heldKeys: number('held_keys'),
    oldestReadyMs: row['oldest_ready_ms'] === null ? null : Math.round(number('oldest_ready_ms')),
    outages: JSON.parse(String(row['outages'])) as OutageStatus[],
    pausedTopics: JSON.parse(String(row['paused_topics'])) as string[],
    relays: JSON.parse(String(row['relays'])) as RelayStatus[],
    lanesWithoutRelay: number('lanes_without_relay'),
  }
}
