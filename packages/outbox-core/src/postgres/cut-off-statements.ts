import { quoteIdentifier } from './identifiers.ts'

/** What a cut-off asks. None changes anything. */
export interface CutOffStatements {
  readonly begun: string
  readonly prepared: string
  readonly bound: string
  readonly left: string
}

export function cutOffStatements(schema: string): CutOffStatements {
  const s = quoteIdentifier(schema)
  const topic = (alias: string): string => `($1::text is null or ${alias}.topic = $1)`
  return {
    // The instant, taken before anybody is looked at, and who is in a transaction then: each holds the lock on its own virtual transaction from its begin to its
    // end, which every role may see. Background workers have no user, and other databases hold nothing of ours.
    begun: `
      select statement_timestamp() as at, coalesce(json_agg(json_build_object(
        'transaction', held.virtualxid, 'pid', held.pid, 'user', who.usename, 'application', who.application_name)), '[]') as open
      from pg_locks as held join pg_stat_activity as who on who.pid = held.pid
      where held.locktype = 'virtualxid' and held.granted and held.mode = 'ExclusiveLock' and held.pid <> pg_backend_pid()
        and who.datid = (select oid from pg_database where datname = current_database()) and who.usesysid is not null`,

    // Prepared transactions have no session. Their name stays the same through a restart, that of their locks does not.
    prepared: `
      select coalesce(json_agg(gid), '[]') as open from pg_prepared_xacts where database = current_database()`,

    // $1 topic or null, $2 instant. No row as long as messages are due that no relay has fetched. Everything that was committed by now drew its
    // value from the sequence at or below the bound.
    bound: `
      select coalesce(pg_sequence_last_value(pg_get_serial_sequence('${s.replaceAll("'", "''")}.messages', 'seq')::regclass), 0)::text as bound
      where not exists (
        select from ${s}.scheduled_messages as m
        where ${topic('m')} and m.available_at <= $2::timestamptz
          and not exists (select from ${s}.paused_topics as paused where paused.topic = m.topic))`,

    // $1 topic or null, $2 bound, $3 instant. What is not at the broker, and why.
    left: `
      with at_rest as (
        select m.topic, m.created_at,
          case when held.topic is not null then 'held' when paused.topic is not null then 'paused' else 'unpublished' end as state
        from ${s}.messages as m
        left join ${s}.held_keys as held on held.lane = m.lane and held.topic = m.topic and held.ordering_key = m.ordering_key
        left join ${s}.paused_topics as paused on paused.topic = m.topic
        where ${topic('m')} and m.seq <= $2::bigint
        union all
        select m.topic, m.created_at, 'dead' from ${s}.dead_letters as m where ${topic('m')} and m.seq <= $2::bigint
        union all
        select m.topic, m.created_at, case when m.available_at > $3::timestamptz then 'scheduled' else 'paused' end
        from ${s}.scheduled_messages as m where ${topic('m')})
      select state, topic, count(*)::int as messages, min(created_at) as "oldestAt"
      from at_rest group by state, topic order by state, topic`,
  }
}
