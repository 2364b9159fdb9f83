import { quoteIdentifier } from '@malote/outbox-core/postgres'

/** The statements that purge, in the order they are used. */
export interface RetentionStatements {
  readonly boundLocks: string
  readonly raiseWatermark: string
  readonly writers: string
  readonly deleteMessages: string
  readonly missingPartitions: string
  readonly createPartition: (name: string, from: string, to: string) => string
  readonly oldPartitions: string
  readonly dropPartition: (name: string) => string
  readonly deleteKeys: string
  readonly deleteBodies: string
  readonly forgetSubject: string
}

/** @param s - the quoted schema */
export function retentionStatements(s: string): RetentionStatements {
  const regclass = (table: string): string => `'${`${s}.${table}`.replaceAll("'", "''")}'::regclass`
  return {
    boundLocks: `select set_config('lock_timeout', $1, true)`,

    // $1 profile, $2 days. Whole days, so that no partition is dropped of which a part must still be known. Never lowered.
    raiseWatermark: `
      insert into ${s}.inbox_watermarks as known (profile, refused_before)
      values ($1, date_trunc('day', clock_timestamp() at time zone 'utc') at time zone 'utc' - $2 * interval '1 day')
      on conflict (profile) do update set refused_before = greatest(known.refused_before, excluded.refused_before)
      returning refused_before`,

    // A prepared transaction has no pid: it counts, under its virtual transaction.
    writers: `
      select distinct virtualtransaction as holder from pg_locks
      where locktype = 'relation' and relation = ${regclass('processed_messages')} and mode = 'RowExclusiveLock' and granted
        and database = (select oid from pg_database where datname = current_database())
        and pid is distinct from pg_backend_pid()`,

    // A row is written after its message was made, so a row older than the watermark belongs to a message that is refused.
    deleteMessages: `
      delete from ${s}.processed_messages as message using (
        select consumer_id, message_id from ${s}.processed_messages
        where processed_at < (select refused_before from ${s}.inbox_watermarks where profile = 'simple')
        limit $1 for update skip locked) as old
      where message.consumer_id = old.consumer_id and message.message_id = old.message_id
      returning 1`,

    // From the day of the watermark: messages are accepted from then on.
    missingPartitions: `
      select 'processed_messages_' || to_char(day, 'YYYYMMDD') as name, to_char(day, 'YYYY-MM-DD') as from,
        to_char(day + interval '1 day', 'YYYY-MM-DD') as to
      from generate_series(
        (select refused_before at time zone 'utc' from ${s}.inbox_watermarks where profile = 'partitioned'),
        date_trunc('day', clock_timestamp() at time zone 'utc') + $1 * interval '1 day', interval '1 day') as days (day)
      where not exists (
        select from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = ${regclass('processed_messages_by_day')} and relname = 'processed_messages_' || to_char(day, 'YYYYMMDD'))`,

    // Attaching takes a lock that consumers do not wait for; creating in place would stop them. Vacuum by inserts, for
    // nothing else ever happens to these rows.
    createPartition: (name, from, to) => `
      do $malote$ begin
        create table ${s}.${quoteIdentifier(name)} (like ${s}.processed_messages_by_day including defaults including constraints,
          constraint ${quoteIdentifier(`${name}_day`)} check (event_day >= '${from}' and event_day < '${to}'))
          with (autovacuum_vacuum_insert_scale_factor = 0.05);
        alter table ${s}.processed_messages_by_day attach partition ${s}.${quoteIdentifier(name)}
          for values from ('${from}') to ('${to}');
        alter table ${s}.${quoteIdentifier(name)} drop constraint ${quoteIdentifier(`${name}_day`)};
      end $malote$`,

    oldPartitions: `
      select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
      where inhparent = ${regclass('processed_messages_by_day')} and relname ~ '^processed_messages_[0-9]{8}$'
        and to_date(right(relname, 8), 'YYYYMMDD') < (
          select (refused_before at time zone 'utc')::date from ${s}.inbox_watermarks where profile = 'partitioned')
      order by relname`,

    // Waits for consumers that write, up to lock_timeout; they wait for it meanwhile.
    dropPartition: (name) => `drop table ${s}.${quoteIdentifier(name)}`,

    // $1 batch size. Never what is in progress or indeterminate: those say infinity, and the state is asked all the same.
    deleteKeys: `
      delete from ${s}.idempotency_keys as old using (
        select tenant_id, key_hash from ${s}.idempotency_keys
        where expires_at <= now() and state in ('completed', 'retryable')
        limit $1 for update skip locked) as expired
      where old.tenant_id = expired.tenant_id and old.key_hash = expired.key_hash
      returning 1`,

    deleteBodies: `
      update ${s}.idempotency_keys as old
      set response_body = null, response_body_kept = false, encryption_key_id = null, body_expires_at = null
      from (
        select tenant_id, key_hash from ${s}.idempotency_keys
        where body_expires_at <= now() and state = 'completed'
        limit $1 for update skip locked) as expired
      where old.tenant_id = expired.tenant_id and old.key_hash = expired.key_hash
      returning 1`,

    // $1 tenant, $2 subject hashes. A tenant's keys are read through; unfinished work is left, for its proof is needed.
    forgetSubject: `
      with forgotten as (
        delete from ${s}.idempotency_keys
        where tenant_id = $1 and subject_hash = any($2::bytea[]) and state in ('completed', 'retryable')
        returning 1)
      select (select count(*)::int from forgotten) as forgotten,
        (select count(*)::int from ${s}.idempotency_keys
         where tenant_id = $1 and subject_hash = any($2::bytea[]) and state in ('in_progress', 'indeterminate')) as unfinished`,
  }
}
