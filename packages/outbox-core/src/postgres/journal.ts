import type { Connection } from './connections.ts'
import { quoteIdentifier } from './identifiers.ts'

/** What a relay says of itself to operators. */
export interface RelayDescription {
  readonly relayId: string
  readonly leaseMs: number
  readonly publishTimeoutMs: number
  /** False: a pooler in transaction mode stands in between. Null: it was told to do without, and did not look. */
  readonly hasSession: boolean | null
  /** Null: it does not listen, or does not know yet. */
  readonly hearsDoorbell: boolean | null
}

/** What was published of a topic since the last note. */
export interface FlowWrite {
  readonly topic: string
  readonly published: number
  readonly lastAddedMs: number
}

/** What a relay writes down for operators. */
export interface JournalWrites {
  describeRelay(description: RelayDescription): Promise<void>
  addFlow(flow: readonly FlowWrite[]): Promise<void>
}

export function createJournalWrites(connection: Connection, schema: string): JournalWrites {
  const texts = journalTexts(schema)
  return {
    describeRelay: async ({ relayId, leaseMs, publishTimeoutMs, hasSession, hearsDoorbell }) => {
      const values = [relayId, leaseMs, publishTimeoutMs, hasSession, hearsDoorbell]
      await connection.queryReadCommitted(texts.describeRelay, values)
    },
    addFlow: async (flow) => {
      const given = flow.map(({ topic, published, lastAddedMs }) => ({ topic, published, last_added_ms: lastAddedMs }))
      await connection.query(texts.addFlow, [JSON.stringify(given)])
    },
  }
}

function journalTexts(schema: string): Readonly<Record<keyof JournalWrites, string>> {
  const s = quoteIdentifier(schema)
  return {
    // $1 id, $2 lease and $3 publish timeout in ms, $4 has a session, $5 hears the doorbell.
    describeRelay: `
      update ${s}.relays set lease_ms = $2::integer, publish_timeout_ms = $3::integer, has_session = $4::boolean,
        hears_doorbell = $5::boolean
      where id = $1::uuid`,

    // $1 JSON array. In the order of the topics, so that two relays cannot deadlock. Losing one in a crash loses a count.
    addFlow: `
      with mode as materialized (select set_config('synchronous_commit', 'off', true))
      insert into ${s}.flow as known (topic, published, last_published_at, last_added_at)
      select f.topic, f.published, clock_timestamp(), to_timestamp(f.last_added_ms / 1000)
      from mode, json_to_recordset($1::text::json) as f (topic text, published bigint, last_added_ms float8)
      order by f.topic
      on conflict (topic) do update set published = known.published + excluded.published,
        last_published_at = excluded.last_published_at, last_added_at = greatest(known.last_added_at, excluded.last_added_at)`,
  }
}
