import { quoteIdentifier } from './identifiers.ts'

/** What the doctor asks. Each answers with rows that the check words; none changes anything. */
export interface DoctorStatements {
  readonly tables: string
  readonly ledger: string
  readonly server: string
  readonly sequenceCache: string
  readonly indexes: string
  readonly triggers: string
  readonly autovacuum: string
  readonly oldSnapshots: string
  readonly openWriters: string
  readonly preparedTransactions: string
  readonly replicationSlots: string
  readonly seesSessions: string
  readonly lackingPrivilege: string
  readonly pausedTopics: string
  readonly forgottenLetters: string
  readonly inboxRetention: string
  readonly keys: string
  readonly clock: string
}

/** What a person needs to find the session: cut, because a query can be a megabyte. */
const who = `pid, usename as "user", application_name as application, client_addr::text as address, left(query, 120) as query`

export function doctorStatements(schema: string): DoctorStatements {
  const s = quoteIdentifier(schema)
  const messages = `'${s.replaceAll("'", "''")}.messages'::regclass`
  return {
    // $1 schema. Names of the tables that are there; needs no privilege on them.
    tables: `select c.relname as name from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relkind in ('r', 'p')`,

    ledger: `select component, name from ${s}.migrations order by component, name`,

    // A role that may not look into the sessions of others is told that they are there, and not what kind they are.
    server: `
      select current_setting('server_version_num')::int as version, current_setting('autovacuum')::bool as autovacuum,
        current_setting('max_connections')::int as max_connections,
        (select count(*)::int from pg_stat_activity where usesysid is not null and datid is not null
          and coalesce(backend_type, 'client backend') = 'client backend') as connections`,

    sequenceCache: `select seqcache::int as cache from pg_sequence where seqrelid = pg_get_serial_sequence($1, 'seq')::regclass`,

    // $1 schema. With the names of the tables that have none, too.
    indexes: `
      select i.relname as name, c.relname as "table", x.indisvalid as valid
      from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      left join pg_index as x on x.indrelid = c.oid left join pg_class as i on i.oid = x.indexrelid
      where n.nspname = $1 and c.relkind in ('r', 'p')`,

    // $1 text: the messages table. Only those that are on whatever the session's replication role.
    triggers: `select tgname as name from pg_trigger where tgrelid = $1::text::regclass and tgenabled = 'A'`,

    // $1 schema. Dead rows far above what the table's own settings allow: vacuum does not get through.
    autovacuum: `
      select c.relname as name, coalesce(t.n_dead_tup, 0)::float8 as dead,
        coalesce(array_to_string(c.reloptions, ','), '') ~ 'autovacuum_enabled=(false|off)' as off, t.last_autovacuum as last
      from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      left join pg_stat_user_tables as t on t.relid = c.oid
      where n.nspname = $1 and c.relname in ('messages', 'scheduled_messages')`,

    // Without it the sessions of other roles look as if they did nothing.
    seesSessions: `select pg_has_role('pg_read_all_stats', 'usage') as sees`,

    // $1 from which age, in milliseconds.
    oldSnapshots: `
      select ${who}, state, extract(epoch from clock_timestamp() - xact_start)::int as seconds, xact_start as since
      from pg_stat_activity
      where backend_xmin is not null and pid <> pg_backend_pid() and datname = current_database()
        and xact_start < clock_timestamp() - $1::float8 * interval '1 millisecond'
      order by xact_start`,

    // $1 as above.
    openWriters: `
      select ${who}, extract(epoch from clock_timestamp() - xact_start)::int as seconds, xact_start as since
      from pg_stat_activity
      where pid in (select pid from pg_locks where locktype = 'relation' and relation = ${messages} and mode = 'RowExclusiveLock')
        and state like 'idle in transaction%' and state_change < clock_timestamp() - $1::float8 * interval '1 millisecond'
      order by xact_start`,

    // $1 as above.
    preparedTransactions: `
      select gid, extract(epoch from clock_timestamp() - prepared)::int as seconds, prepared as since from pg_prepared_xacts
      where database = current_database() and prepared < clock_timestamp() - $1::float8 * interval '1 millisecond' order by prepared`,

    // Slots that hold rows back: their xmin is what vacuum may not pass.
    replicationSlots: `
      select slot_name as slot, active, greatest(age(xmin), age(catalog_xmin))::float8 as age,
        pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn)::float8 as bytes
      from pg_replication_slots where not active or greatest(age(xmin), age(catalog_xmin)) > 10000000`,

    // $1 JSON array of {kind, name, privileges}; $2 schema. What the current role lacks.
    lackingPrivilege: `
      select n.kind, n.name, p.privilege
      from json_to_recordset($1::text::json) as n (kind text, name text, privileges text[])
      cross join unnest(n.privileges) as p (privilege)
      where not coalesce(case n.kind -- Null: it is not there.
        when 'table' then has_table_privilege(to_regclass(format('%I.%I', $2::text, n.name)), p.privilege)
        when 'sequence' then has_sequence_privilege(to_regclass(format('%I.%I', $2::text, n.name)), p.privilege)
        else has_function_privilege(to_regprocedure(format('%I.%s', $2::text, n.name)), p.privilege) end, false)
      order by n.kind desc, n.name`,

    pausedTopics: `
      select topic, paused_by as by, reason, paused_at as since from ${s}.paused_topics order by paused_at`,

    // Dead letters that no inbox would take any more: the proof whether they were applied has been purged.
    forgottenLetters: `
      select count(*)::int as letters, min(created_at) as since from ${s}.dead_letters
      where created_at < (select max(refused_before) from ${s}.inbox_watermarks)`,

    // How long inboxes keep proofs, going by what they have purged.
    inboxRetention: `
      select profile, (extract(epoch from clock_timestamp() - refused_before) * 1000)::float8 as ms from ${s}.inbox_watermarks`,

    // $1 milliseconds: how long after its end a key may lie.
    keys: `
      select count(*) filter (where state = 'indeterminate')::int as indeterminate,
        min(created_at) filter (where state = 'indeterminate') as indeterminate_since,
        count(*) filter (where expires_at < clock_timestamp() - $1::float8 * interval '1 millisecond')::int as expired,
        min(expires_at) filter (where expires_at < clock_timestamp() - $1::float8 * interval '1 millisecond') as expired_since
      from ${s}.idempotency_keys
      where state = 'indeterminate' or expires_at < clock_timestamp() - $1::float8 * interval '1 millisecond'`,

    clock: `select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`,
  }
}
