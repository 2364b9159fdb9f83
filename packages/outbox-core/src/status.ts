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
  readonly relays: readonly RelayStatus[]
  /** Lanes nobody owns: 0 while a relay lives, 64 when none does. */
  readonly lanesWithoutRelay: number
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
    relays: JSON.parse(String(row['relays'])) as RelayStatus[],
    lanesWithoutRelay: number('lanes_without_relay'),
  }
}
