/** The statements of the inbox. */
export interface InboxStatements {
  readonly insertMessages: string
  readonly addConsumer: string
  readonly agesOfMessages: string
  readonly abort: string
}

/**
 * @param s - the quoted schema
 * @param partitioned - whether the producer's day is part of a row's key
 */
export function inboxStatements(s: string, partitioned: boolean): InboxStatements {
  const table = partitioned ? `${s}.processed_messages_by_day` : `${s}.processed_messages`
  const [dayColumn, dayValue] = partitioned
    ? ['event_day, ', `(incoming.occurred_at at time zone 'utc')::date, `]
    : ['', '']
  return {
    // $1 consumer, $2 uuid[] message ids, $3 lock_timeout while waiting, $4 bigint[] locks to try first, $5 timestamptz[]
    // when each was made. The unique index decides; a second copy waits here for the first one's transaction, batches in
    // one order so that two cannot wait for each other. set_config runs before the insert, which reads it, and after it,
    // so that the caller's own lock_timeout is back for the handler.
    insertMessages: `
      with consumer as (select id from ${s}.inbox_consumers where name = $1),
      gate as materialized (
        select current_setting('lock_timeout') as previous, set_config('lock_timeout', $3, true) as bounded,
          (select coalesce(bool_and(pg_try_advisory_xact_lock(lock)), true) from unnest($4::bigint[]) as locks (lock)) as free),
      incoming as materialized (
        select arrived.id, min(arrived.occurred_at) as occurred_at,
          coalesce(min(arrived.occurred_at) < (
            select refused_before from ${s}.inbox_watermarks where profile = '${partitioned ? 'partitioned' : 'simple'}'), false) as stale
        from unnest($2::uuid[], $5::timestamptz[]) as arrived (id, occurred_at)
        group by arrived.id),
      inserted as (
        insert into ${table} (${dayColumn}consumer_id, message_id)
        select ${dayValue}consumer.id, incoming.id
        from incoming, consumer, gate
        where gate.free and not exists (select from incoming as other where other.stale)
        order by ${dayValue}incoming.id
        on conflict do nothing
        returning message_id)
      select (select id from consumer) as consumer_id, gate.free,
        array(select id::text from incoming where stale) as stale, inserted.ids as inserted,
        set_config('lock_timeout', gate.previous, true)
      from gate, (select coalesce(array_agg(message_id::text), '{}') as ids from inserted) as inserted`,

    // Once in a consumer's life. Of two first messages at once the second waits for the first's transaction, up to $2.
    addConsumer: `
      with gate as materialized (
        select current_setting('lock_timeout') as previous, set_config('lock_timeout', $2, true) as bounded),
      added as (
        insert into ${s}.inbox_consumers (name) select $1 from gate on conflict do nothing returning id)
      select set_config('lock_timeout', gate.previous, true) from gate, (select count(*) from added) as added`,

    agesOfMessages: `
      select extract(epoch from clock_timestamp() - processed_at) * 1000 as age_ms
      from ${table} where consumer_id = $1 and message_id = any($2::uuid[])`,

    // After a handler threw: whoever swallows its error must not be able to commit the inbox row without the effect.
    abort: `do $$ begin
      raise exception 'malote: a message handler failed, so its transaction can only be rolled back' using errcode = 'ML001';
    end $$`,
  }
}
