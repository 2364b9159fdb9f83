-- The inbox's claim of messages as functions, one for each profile: one value to hand over, and plans that PostgreSQL keeps for the
-- session without prepared statements. Only creates objects, so it blocks no writer. Processes of earlier releases go on beside
-- them: they write the same rows, and the primary key decides.
-- A later protocol gets functions of its own (_v2), and these stay as long as a process may call them.
-- Runs with search_path set to the schema Malote lives in, which is written into the functions.

do $migration$
declare
  kind record;
begin
  for kind in select * from (values
    ('claim_messages_v1', 'processed_messages', 'simple', '', '', ''),
    ('claim_messages_by_day_v1', 'processed_messages_by_day', 'partitioned', 'event_day, ',
      '(made[1] at time zone ''utc'')::date, ', '(incoming.made at time zone ''utc'')::date, ')
    ) as kinds (name, target, profile, day, one_day, each_day)
  loop
    execute format($create$
      -- Inserts a row for each message that this consumer has not applied, and says "new" when that was all of them; "unknown" when
      -- the consumer has no number yet; else as JSON what was inserted and why not the rest. A second copy of a message waits
      -- here for the transaction of the first, up to wait_limit; the caller's own lock_timeout is back for the handler. With
      -- locks to try first it never waits. Batches insert in one order, so that two cannot wait for each other.
      create function %2$I(consumer text, ids uuid[], made timestamptz[], wait_limit text, locks bigint[])
      returns text language plpgsql volatile as $body$
      #variable_conflict use_column
      declare
        consumer_number smallint;
        previous_limit text;
        ignored text;
        next_lock bigint;
        inserted uuid[];
      begin
        select known.id into consumer_number from %1$I.inbox_consumers as known where known.name = consumer;
        if not found then return 'unknown'; end if;
        foreach next_lock in array locks loop
          if not pg_try_advisory_xact_lock(next_lock) then
            return json_build_object('is_free', false, 'consumer_id', consumer_number, 'stale', '[]'::json, 'inserted', '[]'::json);
          end if;
        end loop;
        previous_limit := current_setting('lock_timeout');
        ignored := set_config('lock_timeout', wait_limit, true);
        -- The watermark is read by the statement that inserts: it holds the table's lock before it looks, so a purge that raises the
        -- watermark either is seen here or waits for this transaction.
        if cardinality(ids) = 1 then
          insert into %1$I.%3$I (%5$sconsumer_id, message_id)
          select %6$sconsumer_number, ids[1]
          where not coalesce(made[1] < (select refused_before from %1$I.inbox_watermarks where profile = %4$L), false)
          on conflict do nothing;
          if found then inserted := ids; end if;
        else
          with incoming as materialized (
            select arrived.id, min(arrived.made) as made from unnest(ids, made) as arrived (id, made) group by arrived.id),
          added as (
            insert into %1$I.%3$I (%5$sconsumer_id, message_id)
            select %7$sconsumer_number, incoming.id from incoming
            where not exists (
              select from incoming as other
              where other.made < (select refused_before from %1$I.inbox_watermarks where profile = %4$L))
            order by %7$sincoming.id
            on conflict do nothing
            returning message_id)
          select array_agg(added.message_id) into inserted from added;
        end if;
        ignored := set_config('lock_timeout', previous_limit, true);
        if cardinality(inserted) = cardinality(ids) then return 'new'; end if;
        return json_build_object('is_free', true, 'consumer_id', consumer_number,
          'stale', case when inserted is not null then '[]'::json else (
            select coalesce(json_agg(arrived.id), '[]') from unnest(ids, made) as arrived (id, made)
            where arrived.made < (select refused_before from %1$I.inbox_watermarks where profile = %4$L)) end,
          'inserted', to_json(coalesce(inserted, '{}')));
      end $body$
    $create$, current_schema(), kind.name, kind.target, kind.profile, kind.day, kind.one_day, kind.each_day);
  end loop;
end $migration$;
