/** The statements of the inbox; `s` is the quoted schema. */
export interface InboxStatements {
  readonly insertMessage: string
  readonly addConsumer: string
  readonly ageOfMessage: string
  readonly abort: string
}

/** How a profile stores a row: the table, and whether the producer's day is part of its key. */
export function inboxStatements(s: string, partitioned: boolean): InboxStatements {
  const table = partitioned ? `${s}.processed_messages_by_day` : `${s}.processed_messages`
  const dayColumn = partitioned ? 'event_day, ' : ''
  const dayValue = partitioned ? `($5::timestamptz at time zone 'utc')::date, ` : ''
  const profile = partitioned ? 'partitioned' : 'simple'
  return {
    // $1 consumer, $2 message id, $3 lock_timeout while waiting, $4 bigint to try-lock or null, $5 when the message was made.
    // The unique index decides; a second copy waits here for the first one's transaction. set_config runs before the
    // insert, which reads it, and after it, so that the caller's own lock_timeout is back for the handler.
    insertMessage: `
      with consumer as (select id from ${s}.inbox_consumers where name = $1),
      watermark as (select refused_before from ${s}.inbox_watermarks where profile = '${profile}'),
      gate as materialized (
        select current_setting('lock_timeout') as previous, set_config('lock_timeout', $3, true) as bounded,
          $4::bigint is null or pg_try_advisory_xact_lock($4::bigint) as free,
          coalesce($5::timestamptz < (select refused_before from watermark), false) as stale),
      inserted as (
        insert into ${table} (${dayColumn}consumer_id, message_id)
        select ${dayValue}consumer.id, $2::uuid from consumer, gate where gate.free and not gate.stale
        on conflict do nothing
        returning 1 as one)
      select (select id from consumer) as consumer_id, bool_and(gate.free) as free, bool_and(gate.stale) as stale,
        count(inserted.one) = 1 as inserted, set_config('lock_timeout', min(gate.previous), true)
      from gate left join inserted on true`,

    // Once in a consumer's life. Two first messages at once: the second waits for the first's transaction.
    addConsumer: `insert into ${s}.inbox_consumers (name) values ($1) on conflict do nothing`,

    ageOfMessage: `
      select extract(epoch from clock_timestamp() - processed_at) * 1000 as age_ms
      from ${table} where consumer_id = $1 and message_id = $2
      ${partitioned ? `and event_day = ($3::timestamptz at time zone 'utc')::date` : ''}`,

    // After a handler threw: whoever swallows its error must not be able to commit the inbox row without the effect.
    abort: `do $$ begin
      raise exception 'malote: a message handler failed, so its transaction can only be rolled back' using errcode = 'ML001';
    end $$`,
  }
}
