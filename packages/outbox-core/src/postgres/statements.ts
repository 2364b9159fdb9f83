import { quoteIdentifier } from './identifiers.ts'

/**
 * The statements of the writer. Each is one shape for any number of messages.
 *
 * Parameters are plain text and cast here: drivers and ORMs disagree on how to send arrays and JSON, none on text.
 */
export interface WriterStatements {
  readonly messagesTable: string
  readonly lockKeys: string
  readonly addMessage: (firstParameter: number) => string
  readonly insertMessage: (firstParameter: number) => string
  readonly addMessages: (firstParameter: number) => string
  readonly addScheduledMessages: string
  readonly cancelScheduledMessages: string
}

export function writerStatements(schema: string): WriterStatements {
  const s = quoteIdentifier(schema)
  return {
    messagesTable: `${s}.messages`,

    // $1 JSON array of text: orders ("topic\nkey") in a fixed sequence, so that two writers cannot deadlock. Held to the
    // end of the transaction. As text: Prisma cannot read a column of type void.
    lockKeys: `
      select pg_advisory_xact_lock(hashtextextended('malote ' || ordered.key, 0))::text
      from jsonb_array_elements_text($1::text::jsonb) with ordinality as ordered (key, position)
      order by ordered.position`,

    // One message with a text body: id, topic, type, ordering key, payload, content type, headers (JSON), all text.
    addMessage: numbered((n) => {
      const parameters = Array.from({ length: 7 }, (_, at) => `$${String(n + at)}`)
      return `select ${s}.add_message(${parameters.join(', ')})`
    }),

    // The same without a function, for who prepares the statement by name: planned anew each time it costs the server twice as much
    // as the call. It gives the lane, because encoding looked at the rules. Nothing may stand behind its FROM, so the look at the
    // doorbell stands in a column. It sees what its snapshot shows, which is taken after the lock on messages. A volatile function among
    // the columns would have the select run apart from the insert: ring_doorbell is stable, and stands behind CASE, which is never tried when planning.
    insertMessage: numbered((n) => {
      const [id, topic, type, key, payload, contentType, headers] = Array.from(
        { length: 7 },
        (_, at) => `$${String(n + at)}::text`,
      ) as [string, string, string, string, string, string, string]
      return `insert into ${s}.messages (id, lane, topic, type, ordering_key, payload, content_type, headers) overriding system value
      select ${id}::uuid, (hashtextextended(coalesce(${key}, ${id}) collate "C", 0) & 63)::smallint, ${topic}, ${type}, ${key}, ${payload}, ${contentType},
        case when exists (select from ${s}.doorbell where asleep) and ${s}.ring_doorbell() then ${headers} else ${headers} end::json`
    }),

    // $1 JSON array: the messages. Both functions take RowExclusiveLock on messages before the first seq is drawn and keep
    // it to the end of the transaction (the relay's floor relies on that), and ring the doorbell only if a live relay sleeps.
    addMessages: numbered((n) => `select ${s}.add_messages($${String(n)})`),

    // $1 JSON array: the messages, each with either available_at or delay_ms.
    addScheduledMessages: `
      insert into ${s}.scheduled_messages (id, available_at, topic, type, ordering_key, payload, payload_binary, content_type, headers)
      select m.id, coalesce(m.available_at, clock_timestamp() + m.delay_ms * interval '1 millisecond'),
        m.topic, m.type, m.ordering_key, m.payload, decode(m.payload_base64, 'base64'), m.content_type, m.headers
      from rows from (json_to_recordset($1::text::json) as (
        id uuid, topic text, type text, ordering_key text, payload text, payload_base64 text, content_type text, headers json,
        available_at timestamptz, delay_ms double precision
      )) with ordinality as m (
        id, topic, type, ordering_key, payload, payload_base64, content_type, headers, available_at, delay_ms, n)
      order by m.n`,

    // $1 uuid[] as text. scheduled_messages_id serves it. A row that a relay is moving right now is waited for, and then is gone.
    cancelScheduledMessages: `delete from ${s}.scheduled_messages where id = any($1::text::uuid[]) returning id`,
  }
}

/** A caller's statement has the same numbers each time: the last one's text is kept. */
function numbered(textFrom: (firstParameter: number) => string): (firstParameter: number) => string {
  let last = { firstParameter: 1, text: textFrom(1) }
  return (firstParameter) => {
    if (firstParameter !== last.firstParameter) last = { firstParameter, text: textFrom(firstParameter) }
    return last.text
  }
}
