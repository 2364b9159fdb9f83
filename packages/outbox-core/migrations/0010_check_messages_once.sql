-- Adding a message gets cheaper: its rules are looked at once. A generated column and eleven checks are made ready anew in each
-- statement, which cost a writer of one message more than its row. Now the functions that add compute the lane and look at the rules in the
-- insert itself, whose plan the session keeps; rows from anybody else are looked at by a trigger. It refuses the same rows as before, by
-- the same constraint names. Rows that are there stay as they are and are not read: each statement holds its lock for an instant only,
-- waits for the transactions that are writing at that moment, and new ones wait behind it.

-- Still nobody's to choose: generated always, so an insert that names a lane is refused. But what is generated is below 0, and
-- says that nobody has looked at the row yet; who has looked gives the lane, with `overriding system value`.
alter table messages
  alter column lane drop expression,
  drop constraint topic_is_not_empty,
  drop constraint ordering_key_is_not_empty,
  drop constraint payload_is_text_or_binary,
  drop constraint attempts_is_not_negative,
  drop constraint payload_is_not_too_large,
  drop constraint topic_is_short,
  drop constraint type_is_short,
  drop constraint content_type_is_short,
  drop constraint ordering_key_is_short,
  drop constraint topic_is_one_line,
  drop constraint headers_are_an_object;
alter table messages
  alter column lane add generated always as identity (increment by -1 minvalue -32768 maxvalue -1 cycle);

-- All messages of a key share a lane. Collation "C", because a nondeterministic collation would change the hash. Text is
-- pg_catalog's: a temporary table makes a type of its name, which would be found first.
create function check_message() returns trigger
language plpgsql as $$
declare
  broken constant pg_catalog.text := case
    when new.topic = '' then 'topic_is_not_empty'
    when new.ordering_key = '' then 'ordering_key_is_not_empty'
    when (new.payload is null) = (new.payload_binary is null) then 'payload_is_text_or_binary'
    when new.attempts < 0 then 'attempts_is_not_negative'
    -- In the relay's memory as they are. The same number stands in the writer and is the relay's default limit.
    when coalesce(octet_length(new.payload), octet_length(new.payload_binary)) > 67108864 then 'payload_is_not_too_large'
    -- What every broker can carry in a name or a header.
    when char_length(new.topic) > 255 then 'topic_is_short'
    when char_length(new.type) > 255 then 'type_is_short'
    when char_length(new.content_type) > 255 then 'content_type_is_short'
    when char_length(new.ordering_key) > 255 then 'ordering_key_is_short'
    -- A newline stands between topic and key where an order is named: with one in the topic two orders could share a name.
    when strpos(new.topic, e'\n') > 0 then 'topic_is_one_line'
    when json_typeof(new.headers) <> 'object' then 'headers_are_an_object'
  end;
begin
  if broken is not null then
    raise exception 'new row for relation "%" violates check constraint "%"', tg_table_name, broken
      using errcode = 'check_violation', schema = tg_table_schema, table = tg_table_name, constraint = broken;
  end if;
  new.lane := (hashtextextended(coalesce(new.ordering_key, new.id::pg_catalog.text) collate "C", 0) & 63)::smallint;
  return new;
end $$;

-- PostgreSQL calls triggers in the order of their names: what another one changed before is looked at as well.
create trigger zz_check_message before insert on messages
  for each row when (new.lane < 0) execute function check_message();
create trigger zz_check_changed_message
  before update of id, lane, topic, type, ordering_key, payload, payload_binary, content_type, headers on messages
  for each row execute function check_message();
-- A relay changes this one with each failure.
create trigger zz_check_changed_attempts before update of attempts on messages
  for each row when (new.attempts < 0) execute function check_message();
-- For replication and bulk loads too, which pass by other triggers: without a lane no relay would ever read the row.
alter table messages
  enable always trigger zz_check_message,
  enable always trigger zz_check_changed_message,
  enable always trigger zz_check_changed_attempts;

-- The functions as they were, but for three things. They name the schema of each table: a search_path of their own would be set
-- and set back in each call. They give the lane. And they look at the rules in the expression that gives it: a row that may not be as it
-- should leaves with a lane below 0, and the trigger says what is wrong with it.
do $$
begin
  execute format($create$
create or replace function ring_doorbell() returns boolean
language plpgsql as $body$
begin
  if not exists (
    select from %1$I.doorbell as bell
    join %1$I.relays as relay on relay.id = bell.relay
    where bell.asleep and relay.lease_until > now()
  ) then
    return false;
  end if;
  perform pg_notify(%1$L, '');
  return true;
end $body$;

create or replace function add_message(
  id text, topic text, type text, ordering_key text, payload text, content_type text, headers text
) returns boolean
language plpgsql as $body$
begin
  insert into %1$I.messages (id, lane, topic, type, ordering_key, payload, content_type, headers)
  overriding system value
  values (
    add_message.id::pg_catalog.uuid,
    case
      when add_message.topic <> '' and char_length(add_message.topic) <= 255 and strpos(add_message.topic, e'\n') = 0
        and char_length(add_message.type) <= 255
        and char_length(add_message.content_type) <= 255
        and (add_message.ordering_key is null or add_message.ordering_key <> '' and char_length(add_message.ordering_key) <= 255)
        and octet_length(add_message.payload) <= 67108864
        and (add_message.headers is null or json_typeof(add_message.headers::pg_catalog.json) = 'object')
      then (hashtextextended(coalesce(add_message.ordering_key, add_message.id::pg_catalog.uuid::pg_catalog.text) collate "C", 0) & 63)::smallint
      else -1
    end,
    add_message.topic, add_message.type, add_message.ordering_key,
    add_message.payload, add_message.content_type, add_message.headers::pg_catalog.json);
  perform from %1$I.doorbell where asleep;
  return found and %1$I.ring_doorbell();
end $body$;

create or replace function add_messages(messages text) returns boolean
language plpgsql as $body$
begin
  insert into %1$I.messages (id, lane, topic, type, ordering_key, payload, payload_binary, content_type, headers)
  overriding system value
  select m.id,
    case
      when m.topic <> '' and char_length(m.topic) <= 255 and strpos(m.topic, e'\n') = 0
        and char_length(m.type) <= 255
        and char_length(m.content_type) <= 255
        and (m.ordering_key is null or m.ordering_key <> '' and char_length(m.ordering_key) <= 255)
        and (m.payload is null) <> (m.payload_base64 is null)
        and octet_length(coalesce(m.payload, m.payload_base64)) <= 67108864
        and (m.headers is null or json_typeof(m.headers) = 'object')
      then (hashtextextended(coalesce(m.ordering_key, m.id::pg_catalog.text) collate "C", 0) & 63)::smallint
      else -1
    end,
    m.topic, m.type, m.ordering_key, m.payload, decode(m.payload_base64, 'base64'), m.content_type, m.headers
  from rows from (json_to_recordset(add_messages.messages::pg_catalog.json) as (
    id pg_catalog.uuid, topic pg_catalog.text, type pg_catalog.text, ordering_key pg_catalog.text, payload pg_catalog.text,
    payload_base64 pg_catalog.text, content_type pg_catalog.text, headers pg_catalog.json
  )) with ordinality as m (id, topic, type, ordering_key, payload, payload_base64, content_type, headers, n)
  order by m.n;
  perform from %1$I.doorbell where asleep;
  return found and %1$I.ring_doorbell();
end $body$;
$create$, current_schema());
end $$;
