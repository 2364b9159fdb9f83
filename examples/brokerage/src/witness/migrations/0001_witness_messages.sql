-- The demo's witnesses: what was added, what was applied, what came twice. They are how the demo counts without trusting
-- the library it demonstrates; an application does not need them. Needs the outbox tables (schema malote) to exist.
-- The trigger takes a brief exclusive lock on malote.messages.

-- Every message ever added. Rows leave malote.messages once published; they stay here.
create table added_messages (
  -- Drawn inside the writer's transaction while it holds its account's row lock: the order of one key is this order.
  position bigint not null generated always as identity,
  message_id uuid not null,
  topic text not null,
  type text not null,
  ordering_key text,
  constraint added_messages_pkey primary key (message_id)
);

create function witness_added_message() returns trigger language plpgsql set search_path from current as $$
begin
  -- A dead letter that an operator replays is inserted again; it was added once.
  insert into added_messages (message_id, topic, type, ordering_key)
  values (new.id, new.topic, new.type, new.ordering_key)
  on conflict (message_id) do nothing;
  return null;
end $$;
create trigger brokerage_witness after insert on malote.messages
  for each row execute function witness_added_message();

-- Every effect, written in the transaction of the effect. No unique constraint: a second effect must be seen, not prevented.
create table applied_messages (
  position bigint not null generated always as identity primary key,
  consumer text not null,
  message_id uuid not null
);
create index applied_messages_message on applied_messages (message_id);

-- Every delivery the inbox recognised and absorbed.
create table duplicate_deliveries (
  position bigint not null generated always as identity primary key,
  consumer text not null,
  message_id uuid not null,
  received_at timestamptz not null default clock_timestamp()
);
