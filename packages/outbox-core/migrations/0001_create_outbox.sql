-- The outbox: messages, who relays them, and what could not be relayed.
-- Only creates objects, so it blocks no writer. Runs with search_path set to the outbox schema, and pg_temp after it:
--   psql -c 'create schema if not exists malote' && PGOPTIONS='-c search_path=malote,pg_temp' psql -f 0001_create_outbox.sql

-- One row for each message not yet published. Writers insert, relays delete; a row is updated only after a failure.
create table messages (
  -- Drawn while the writer holds its row lock on the aggregate, so the order of one key is the order of its commits.
  -- Always generated and never cached: a value from anywhere else could appear below what a relay has already read past.
  seq bigint not null generated always as identity (cache 1),
  id uuid not null default gen_random_uuid(),
  -- The unit of ownership: all messages of a key share a lane. Computed here so that plain SQL, triggers and other
  -- languages write correct rows. Collation "C", because a nondeterministic collation would change the hash.
  lane smallint not null generated always as
    ((hashtextextended(coalesce(ordering_key, id::text) collate "C", 0) & 63)::smallint) stored,
  topic text not null,
  type text not null,
  ordering_key text,
  -- The exact body, readable by an operator: text (JSON included) in one column, anything else in the other.
  payload text,
  payload_binary bytea,
  content_type text not null default 'application/json',
  headers json,
  created_at timestamptz not null default now(),
  -- Null: ready. Otherwise a failed message waiting for its next attempt.
  available_at timestamptz,
  -- Failed attempts so far.
  attempts integer not null default 0,
  -- The last ten failures, oldest first: [{"at", "code", "message"}].
  failures jsonb,
  -- One index serves reading and settling and leaves the planner no wrong choice.
  constraint messages_pkey primary key (lane, seq),
  constraint topic_is_not_empty check (topic <> ''),
  constraint ordering_key_is_not_empty check (ordering_key <> ''),
  constraint payload_is_text_or_binary check ((payload is null) <> (payload_binary is null)),
  constraint attempts_is_not_negative check (attempts >= 0)
) with (
  -- Every row dies young. Vacuum by count, not by a share of a table whose size swings between nothing and a backlog.
  autovacuum_vacuum_scale_factor = 0.0,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_insert_scale_factor = 0.0,
  autovacuum_vacuum_insert_threshold = 100000
);

-- Empty in normal operation: only failed messages wait.
create index messages_waiting on messages (available_at) where available_at is not null;

-- Messages for later. They join `messages`, and only then get their place in the order, when they are due: however many
-- there are, a relay never reads past them.
create table scheduled_messages (
  id uuid not null default gen_random_uuid(),
  available_at timestamptz not null,
  topic text not null,
  type text not null,
  ordering_key text,
  payload text,
  payload_binary bytea,
  content_type text not null default 'application/json',
  headers json,
  created_at timestamptz not null default now(),
  -- Breaks ties between messages scheduled for the same instant: first added, first published.
  position bigint not null generated always as identity,
  constraint scheduled_messages_pkey primary key (available_at, position),
  constraint topic_is_not_empty check (topic <> ''),
  constraint ordering_key_is_not_empty check (ordering_key <> ''),
  constraint payload_is_text_or_binary check ((payload is null) <> (payload_binary is null))
);

-- Relays alive. The lease sits here, not on the lanes: renewing 64 rows bloats and deadlocks.
create table relays (
  id uuid not null,
  -- For operators: host, process, or whatever the application calls it.
  name text not null,
  lease_until timestamptz not null,
  -- Key of the session advisory lock that a relay holds while its control connection lives; null when it has none.
  presence_key integer,
  -- The messages that it publishes with nothing else in flight, because one of them may have killed another relay. Whoever
  -- finds this relay dead notes it on them.
  trial_lanes smallint[],
  trial_seqs bigint[],
  trial_ids uuid[],
  started_at timestamptz not null default clock_timestamp(),
  constraint relays_pkey primary key (id)
);

-- Deleting a relay frees its lanes in the same transaction.
create table lanes (
  lane smallint not null,
  owner uuid,
  -- Rises with every change of owner. A relay that was paused and came back is told apart by it.
  fence bigint not null default 0,
  -- Owners that died, one after the other, since all went well. From the second on, what lies here is published in named groups.
  crashes smallint not null default 0,
  constraint lanes_pkey primary key (lane),
  constraint lane_is_one_of_64 check (lane between 0 and 63),
  constraint lanes_owner_fkey foreign key (owner) references relays (id) on delete set null
);
insert into lanes (lane) select generate_series(0, 63);

-- Who sleeps and wants to be woken. A table of its own: writers look at it in every commit, so its rows must not be
-- rewritten by heartbeats.
create table doorbell (
  relay uuid not null,
  asleep boolean not null,
  constraint doorbell_pkey primary key (relay),
  constraint doorbell_relay_fkey foreign key (relay) references relays (id) on delete cascade
);

create table dead_letters (
  dead_letter_id bigint not null generated always as identity,
  -- The message as it was, its place in the order included: a replay goes back to where it stood.
  id uuid not null,
  seq bigint not null,
  lane smallint not null,
  topic text not null,
  type text not null,
  ordering_key text,
  payload text,
  payload_binary bytea,
  content_type text not null,
  headers json,
  created_at timestamptz not null,
  attempts integer not null,
  failures jsonb,
  -- MAX_ATTEMPTS, PERMANENT or POISON.
  reason text not null,
  died_at timestamptz not null default clock_timestamp(),
  constraint dead_letters_pkey primary key (dead_letter_id),
  constraint reason_is_known check (reason in ('MAX_ATTEMPTS', 'PERMANENT', 'POISON'))
);
create index dead_letters_id on dead_letters (id);

-- Ordering keys stopped behind a dead letter: nothing of the key is published until an operator decides.
create table held_keys (
  topic text not null,
  ordering_key text not null,
  lane smallint not null generated always as ((hashtextextended(ordering_key collate "C", 0) & 63)::smallint) stored,
  dead_letter_id bigint,
  held_at timestamptz not null default clock_timestamp(),
  constraint held_keys_pkey primary key (lane, topic, ordering_key)
);

-- How messages get in. Functions, because PL/pgSQL plans their statements once per session: planned anew each time, the
-- look at the doorbell costs a writer several times what its insert does. The functions that add keep the search_path of
-- this migration, so that neither a caller's nor a temporary table of the same name is taken for ours.

-- Wakes a relay when one of the sleepers can be woken; says whether it did. The lease is looked at because a relay that died
-- asleep cannot be.
-- Only for the functions below: without a search_path of its own, which would cost as much again as the look.
create function ring_doorbell() returns boolean
language plpgsql as $$
begin
  if not exists (
    select from doorbell as bell
    join relays as relay on relay.id = bell.relay
    where bell.asleep and relay.lease_until > now()
  ) then
    return false;
  end if;
  perform pg_notify(current_schema(), '');
  return true;
end $$;

-- Adds one message with a text body. All parameters are text: drivers disagree on how to send anything else.
-- The insert takes its lock on messages before the seq is drawn and keeps it to the end of the transaction: the relay's
-- floor relies on that. The look at the doorbell is a statement of its own, after the insert: who does not see a relay asleep
-- held the lock before it lay down, and is noted by it.
-- Silence is the rule: notifying in every commit would put all commits of the server in one queue. Under load nobody sleeps,
-- and the look at the flag is all that a writer pays: written out in each function, because a call costs half as much again.
create function add_message(
  id text, topic text, type text, ordering_key text, payload text, content_type text, headers text
) returns boolean
language plpgsql set search_path from current as $$
begin
  insert into messages (id, topic, type, ordering_key, payload, content_type, headers)
  values (
    add_message.id::uuid, add_message.topic, add_message.type, add_message.ordering_key,
    add_message.payload, add_message.content_type, add_message.headers::json);
  perform from doorbell where asleep;
  return found and ring_doorbell();
end $$;

-- Adds any number of messages in the order of the JSON array; one statement whatever their number. That order is the order
-- of the ordinality: the planner knows that the rows arrive in it, and does not sort.
create function add_messages(messages text) returns boolean
language plpgsql set search_path from current as $$
begin
  insert into messages (id, topic, type, ordering_key, payload, payload_binary, content_type, headers)
  select m.id, m.topic, m.type, m.ordering_key, m.payload, decode(m.payload_base64, 'base64'), m.content_type, m.headers
  from rows from (json_to_recordset(add_messages.messages::json) as (
    id uuid, topic text, type text, ordering_key text, payload text, payload_base64 text, content_type text, headers json
  )) with ordinality as m (id, topic, type, ordering_key, payload, payload_base64, content_type, headers, n)
  order by m.n;
  perform from doorbell where asleep;
  return found and ring_doorbell();
end $$;
