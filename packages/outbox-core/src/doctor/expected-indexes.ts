/** Every index that the migrations make, and the SQL that makes it again; `SCHEMA` stands for the quoted schema. */
export interface ExpectedIndex {
  readonly table: string
  readonly name: string
  readonly create: string
}

const primaryKey = (table: string, columns: string): ExpectedIndex => ({
  table,
  name: `${table}_pkey`,
  create: `alter table SCHEMA.${table} add constraint ${table}_pkey primary key (${columns});`,
})

const index = (table: string, name: string, on: string): ExpectedIndex => ({
  table,
  name,
  create: `create index concurrently ${name} on SCHEMA.${table} ${on};`,
})

/** On a partitioned table none can be made concurrently. */
const partitionedIndex = (table: string, name: string, on: string): ExpectedIndex => ({
  table,
  name,
  create: `create index ${name} on SCHEMA.${table} ${on};`,
})

/** Of the outbox, then of idempotency. Only tables that are there are asked about. */
export const expectedIndexes: readonly ExpectedIndex[] = [
  primaryKey('messages', 'lane, seq'),
  index('messages', 'messages_waiting', '(available_at) where available_at is not null'),
  index(
    'messages',
    'messages_waiting_in_order',
    `(hashtextextended((topic || e'\\n' || ordering_key) collate "C", 0), seq) where available_at is not null and ordering_key is not null`,
  ),
  primaryKey('scheduled_messages', 'available_at, position'),
  index('scheduled_messages', 'scheduled_messages_id', '(id)'),
  primaryKey('relays', 'id'),
  primaryKey('lanes', 'lane'),
  primaryKey('doorbell', 'relay'),
  primaryKey('dead_letters', 'dead_letter_id'),
  index('dead_letters', 'dead_letters_id', '(id)'),
  primaryKey('held_keys', 'lane, topic, ordering_key'),
  primaryKey('paused_topics', 'topic'),
  primaryKey('outages', 'relay, destination'),
  primaryKey('flow', 'topic'),
  primaryKey('operator_actions', 'operator_action_id'),
  primaryKey('maintenance', 'task'),
  primaryKey('archived_messages', 'published_at, seq, id'),
  partitionedIndex('archived_messages', 'archived_messages_id', '(id)'),
  partitionedIndex(
    'archived_messages',
    'archived_messages_ordering_key',
    `(hashtextextended(ordering_key collate "C", 0)) where ordering_key is not null`,
  ),
  primaryKey('consumer_calls', 'consumer, message'),
  primaryKey('held_streams', 'consumer, stream'),
  primaryKey('held_messages', 'consumer, stream, position'),
  {
    table: 'held_messages',
    name: 'held_messages_message_key',
    create:
      'alter table SCHEMA.held_messages add constraint held_messages_message_key unique (consumer, stream, message);',
  },
  primaryKey('migrations', 'component, name'),
  primaryKey('inbox_consumers', 'id'),
  {
    table: 'inbox_consumers',
    name: 'inbox_consumers_name_is_unique',
    create: 'alter table SCHEMA.inbox_consumers add constraint inbox_consumers_name_is_unique unique (name);',
  },
  primaryKey('processed_messages', 'consumer_id, message_id'),
  index('processed_messages', 'processed_messages_processed_at', '(processed_at)'),
  primaryKey('processed_messages_by_day', 'event_day, consumer_id, message_id'),
  primaryKey('inbox_watermarks', 'profile'),
  primaryKey('consumer_offsets', 'consumer_group, topic, partition'),
  primaryKey('idempotency_keys', 'tenant_id, key_hash'),
  index('idempotency_keys', 'idempotency_keys_expires_at', '(expires_at)'),
  index('idempotency_keys', 'idempotency_keys_body_expires_at', '(body_expires_at)'),
  primaryKey('entity_versions', 'consumer_id, entity'),
]
