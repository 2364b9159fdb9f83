-- Where published messages go that are kept, and which relay keeps house. Only creates objects, so it blocks no writer. A
-- relay of an earlier version works beside it and archives nothing.

-- One partition for each UTC day, dropped as a whole when it is old. Writers never touch it: a relay inserts here in the
-- statement that deletes from `messages`.
create table archived_messages (
  published_at timestamptz not null,
  seq bigint not null,
  id uuid not null,
  topic text not null,
  type text not null,
  ordering_key text,
  payload text,
  payload_binary bytea,
  content_type text not null,
  headers json,
  created_at timestamptz not null,
  -- Failed attempts before the one that succeeded, and their failures.
  attempts integer not null,
  failures jsonb,
  constraint archived_messages_pkey primary key (published_at, seq, id)
) partition by range (published_at);
create index archived_messages_id on archived_messages (id);
-- By the hash: a key from before the limits may be longer than an index takes, and what is published must never be refused here.
create index archived_messages_ordering_key
  on archived_messages (hashtextextended(ordering_key collate "C", 0)) where ordering_key is not null;

-- Takes what no day has a partition for, so that a relay never waits for one to be made.
create table archived_messages_default partition of archived_messages default;

-- What relays do now and then, one of them at a time.
create table maintenance (
  task text not null,
  -- Not before; pushed on by who begins, so that the others leave it alone, and again by who is done.
  due_at timestamptz not null,
  done_at timestamptz,
  constraint maintenance_pkey primary key (task)
);

-- Makes partitions, which only the owner of the table may: so these functions run as the owner, and roles need no right to
-- create anything. Not for everybody: `malote grants` gives them to relays and operators.
-- A day of which rows lie in the default partition already gets none; they are found and dropped by age there. Attaching
-- waits at most the lock_timeout for readers of the default partition, and never for who inserts into another.
create function prepare_archive_v1(days_ahead integer) returns text[]
language plpgsql security definer set search_path from current set lock_timeout = '200ms' as $$
declare
  today constant timestamp := date_trunc('day', clock_timestamp() at time zone 'UTC');
  made text[] := '{}';
  partition_name text;
  first_instant timestamptz;
  last_instant timestamptz;
begin
  if days_ahead not between 0 and 60 then
    raise exception 'days_ahead is %: it must be from 0 to 60', days_ahead using errcode = 'invalid_parameter_value';
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('malote archive ' || current_schema(), 0)) then return made; end if;
  for ahead in 0..days_ahead loop
    first_instant := (today + ahead * interval '1 day') at time zone 'UTC';
    last_instant := (today + (ahead + 1) * interval '1 day') at time zone 'UTC';
    partition_name := 'archived_messages_' || to_char(today + ahead * interval '1 day', 'YYYYMMDD');
    continue when exists (
      select from pg_class where relname = partition_name and relnamespace = quote_ident(current_schema())::regnamespace);
    begin
      execute format('create table %I.%I (like archived_messages including all)', current_schema(), partition_name);
      execute format('alter table archived_messages attach partition %I.%I for values from (%L) to (%L)',
        current_schema(), partition_name, first_instant, last_instant);
      made := made || partition_name;
    exception
      when lock_not_available or check_violation then null; -- The next run tries again; meanwhile the default partition serves.
    end;
  end loop;
  return made;
end $$;

-- Drops the oldest day that ended `days` days ago or earlier; when there is none, deletes rows as old from the default
-- partition, `most` at a time. One call is one short transaction: call it until it did nothing. Dropping waits at most the
-- lock_timeout for readers of the archive, and fails with lock_not_available rather than have relays wait behind it.
create function purge_archive_v1(days integer, most integer, out dropped text, out deleted integer)
language plpgsql security definer set search_path from current set lock_timeout = '200ms' as $$
declare
  oldest_kept constant timestamp := date_trunc('day', clock_timestamp() at time zone 'UTC') - days * interval '1 day';
begin
  deleted := 0;
  if days < 1 then
    raise exception 'days is %: it must be 1 or more', days using errcode = 'invalid_parameter_value';
  end if;
  select child.relname into dropped
  from pg_inherits join pg_class as child on child.oid = inhrelid
  where inhparent = 'archived_messages'::regclass and child.relname ~ '^archived_messages_\d{8}$'
    and to_date(right(child.relname, 8), 'YYYYMMDD') < oldest_kept
  order by child.relname limit 1;
  if dropped is not null then
    execute format('drop table %I.%I', current_schema(), dropped);
    return;
  end if;
  delete from archived_messages_default where ctid = any(array(
    select ctid from archived_messages_default where published_at < oldest_kept at time zone 'UTC'
    order by published_at limit most for update skip locked));
  get diagnostics deleted = row_count;
end $$;

revoke all on function prepare_archive_v1(integer), purge_archive_v1(integer, integer) from public;
