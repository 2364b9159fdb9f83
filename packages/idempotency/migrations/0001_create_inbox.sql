-- The inbox: which consumer has applied which message. Only creates objects, so it blocks no writer.
-- Runs with search_path set to the schema Malote lives in.

-- A consumer is one handler: each handler of a message applies it once. Names are interned, for a row here is written
-- once and a row below with every message.
create table inbox_consumers (
  id smallint not null generated always as identity,
  name text not null,
  constraint inbox_consumers_pkey primary key (id),
  constraint inbox_consumers_name_is_unique unique (name),
  constraint name_is_not_empty check (name <> '')
);

-- The default profile: one table, purged in batches. Inserting a row is the lock that keeps a second copy of a message waiting.
create table processed_messages (
  consumer_id smallint not null,
  message_id uuid not null,
  processed_at timestamptz not null default now(),
  constraint processed_messages_pkey primary key (consumer_id, message_id)
);
create index processed_messages_processed_at on processed_messages (processed_at);

-- The partitioned profile: a day is purged by dropping its partition. The day is the producer's (when the message was
-- made), the same on every redelivery; the consumer's day would let a redelivery after midnight through.
create table processed_messages_by_day (
  event_day date not null,
  consumer_id smallint not null,
  message_id uuid not null,
  processed_at timestamptz not null default now(),
  constraint processed_messages_by_day_pkey primary key (event_day, consumer_id, message_id)
) partition by range (event_day);

-- A message made before this instant is refused: the proof of whether it was applied has been purged. Raised before purging.
create table inbox_watermarks (
  profile text not null,
  refused_before timestamptz not null,
  constraint inbox_watermarks_pkey primary key (profile),
  constraint profile_is_known check (profile in ('simple', 'partitioned'))
);

-- Kafka positions kept in the transaction of the effect: an alternative to one row for each message.
create table consumer_offsets (
  consumer_group text not null,
  topic text not null,
  partition integer not null,
  -- The offset to read next. Only rises.
  next_offset bigint not null,
  -- The group's generation that wrote last. A member of an older generation has lost the partition.
  generation bigint not null default 0,
  updated_at timestamptz not null default now(),
  constraint consumer_offsets_pkey primary key (consumer_group, topic, partition),
  constraint next_offset_is_not_negative check (next_offset >= 0)
) with (fillfactor = 50);
