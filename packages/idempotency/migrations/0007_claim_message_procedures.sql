-- The inbox's claim of one message as a procedure, one for each profile: a CALL is run as it is read, where a SELECT of a function is
-- planned first. Only creates objects, so it blocks no writer. Processes of earlier releases go on beside it: they write the same rows,
-- and the primary key decides.
-- A later protocol gets procedures of its own (_v2), and these stay as long as a process may call them.
-- Runs with search_path set to the schema Malote lives in, which is written into the procedures.

do $migration$
declare
  kind record;
begin
  for kind in select * from (values
    ('claim_message_v1', 'claim_messages_v1', 'processed_messages', 'simple', '', ''),
    ('claim_message_by_day_v1', 'claim_messages_by_day_v1', 'processed_messages_by_day', 'partitioned', 'event_day, ',
      '(made at time zone ''utc'')::date, ')
    ) as kinds (name, whole, target, profile, day, its_day)
  loop
    execute format($create$
      -- Inserts the row of a message that this consumer has not applied, and says the number of the transaction. A second copy waits here
      -- for the transaction of the first, up to wait_limit; the caller's own lock_timeout is back for the handler. Where nothing was
      -- inserted the function for many messages is asked why, and says it.
      create procedure %2$I(consumer text, message uuid, made timestamptz, wait_limit text, inout claimed text)
      language plpgsql as $body$
      declare
        previous_limit text := current_setting('lock_timeout');
        ignored text;
      begin
        ignored := set_config('lock_timeout', wait_limit, true);
        -- The watermark is read by the statement that inserts: it holds the table's lock before it looks, so a purge that raises the
        -- watermark either is seen here or waits for this transaction.
        insert into %1$I.%4$I (%6$sconsumer_id, message_id)
        select %7$sknown.id, message from %1$I.inbox_consumers as known
        where known.name = consumer
          and not coalesce(made < (select refused_before from %1$I.inbox_watermarks where profile = %5$L), false)
        on conflict do nothing;
        ignored := set_config('lock_timeout', previous_limit, true);
        if not found then
          claimed := %1$I.%3$I(consumer, array[message], array[made], wait_limit, '{}');
          if claimed <> 'new' then return; end if;
        end if;
        claimed := pg_current_xact_id()::text;
      end $body$
    $create$, current_schema(), kind.name, kind.whole, kind.target, kind.profile, kind.day, kind.its_day);
  end loop;
end $migration$;
