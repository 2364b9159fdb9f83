import type { Connection } from './connections.ts'
import { quoteIdentifier } from './identifiers.ts'

/** What a relay must know of its tables before it reads them. */
export interface CheckRow {
  /** Name of the sequence behind `messages.seq`. */
  readonly sequence: string
  readonly cache: number
  /** The last value it gave. */
  readonly last: number | null
  /** No value comes from anywhere else. */
  readonly always: boolean
  readonly lanes: number
}

/** Fails where a table is missing. */
export async function checkTables(connection: Connection, schema: string): Promise<CheckRow> {
  const s = quoteIdentifier(schema)
  return (await connection.query<CheckRow>(checkText(s), [`${s}.messages`])).rows[0] as CheckRow
}

/** $1 text: the messages table. A value of the sequence that is cached by a session could appear below the floor. */
function checkText(s: string): string {
  return `
    select pg_get_serial_sequence($1::text, 'seq') as sequence,
      (select seqcache::integer from pg_sequence where seqrelid = pg_get_serial_sequence($1::text, 'seq')::regclass) as cache,
      pg_sequence_last_value(pg_get_serial_sequence($1::text, 'seq')::regclass)::float8 as last,
      (select attidentity = 'a' from pg_attribute where attrelid = $1::text::regclass and attname = 'seq') as always,
      (select count(*)::integer from ${s}.lanes) as lanes,
      (select count(*)::integer from ${s}.scheduled_messages, ${s}.paused_topics, ${s}.outages where false) as tables`
}
