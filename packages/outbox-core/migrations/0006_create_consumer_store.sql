-- What consumers must remember over processes: how often a handler was called for a message that did not succeed, and which
-- streams (topic and ordering key) wait behind a dead letter. Only creates objects, so it blocks no writer.
-- Runs with search_path set to the schema Malote lives in.

-- A row only for a message that failed or was delivered before: a message handled at the first call never gets one.
create table consumer_calls (
  consumer text not null,
  -- SHA-256 of the message id: ids of other producers are of any length.
  message bytea not null,
  calls integer not null,
  -- Calls that never came to an end: their process died. Such a message is called while no other is.
  unended integer not null,
  updated_at timestamptz not null default now(),
  constraint consumer_calls_pkey primary key (consumer, message)
) with (fillfactor = 70);

create table held_streams (
  consumer text not null,
  -- SHA-256 of topic and ordering key.
  stream bytea not null,
  topic text not null,
  ordering_key text not null,
  held_at timestamptz not null default now(),
  -- False once an operator has decided: a consumer then handles what waits, in order, and deletes this row when nothing is left.
  is_held boolean not null default true,
  -- Which consumer process does so, and until when it may.
  claim uuid,
  claimed_until timestamptz,
  constraint held_streams_pkey primary key (consumer, stream)
);

-- The dead letter and the messages behind it, in order.
create table held_messages (
  consumer text not null,
  stream bytea not null,
  position bigint not null generated always as identity,
  message bytea not null,
  message_id text not null,
  type text not null,
  -- The whole message as JSON.
  content bytea not null,
  -- Why it is dead; null for those that wait behind it.
  note jsonb,
  received_at timestamptz not null default now(),
  constraint held_messages_pkey primary key (consumer, stream, position),
  -- A message that is delivered again waits once.
  constraint held_messages_message_key unique (consumer, stream, message),
  -- No message can be left waiting for a stream that nobody looks at: neither end of the race passes.
  constraint held_messages_stream_fkey foreign key (consumer, stream) references held_streams
);
