import { quoteIdentifier, schemaOption } from './identifiers.ts'
import { invalidOption } from '../options.ts'

/** What a database role is for. */
export type RolePurpose = 'writer' | 'relay' | 'operator' | 'consumer' | 'consumer-store' | 'reader'

export const rolePurposes: readonly RolePurpose[] = [
  'writer',
  'relay',
  'operator',
  'consumer',
  'consumer-store',
  'reader',
]

/** A privilege on an object that a purpose needs, and what it needs it for is said in docs/operations.md. */
export interface NeededPrivilege {
  readonly kind: 'table' | 'sequence' | 'function' | 'procedure'
  /** Unqualified; a function or procedure with its argument types. */
  readonly name: string
  readonly privileges: readonly string[]
}

const all = ['select', 'insert', 'update', 'delete']
const tables = (names: readonly string[], privileges: readonly string[]): NeededPrivilege[] =>
  names.map((name) => ({ kind: 'table', name, privileges }))

const outboxTables = [
  'messages',
  'scheduled_messages',
  'relays',
  'lanes',
  'doorbell',
  'dead_letters',
  'held_keys',
  'flow',
  'outages',
  'paused_topics',
  'operator_actions',
  'maintenance',
]
const execute = (names: readonly string[], kind: 'function' | 'procedure' = 'function'): NeededPrivilege[] =>
  names.map((name) => ({ kind, name, privileges: ['execute'] }))
const functions = execute([
  'ring_doorbell()',
  'add_message(text, text, text, text, text, text, text)',
  'add_messages(text)',
])
/** The floor reads how far the sequence has got; no privilege on tables gives that. */
const sequence: NeededPrivilege = { kind: 'sequence', name: 'messages_seq_seq', privileges: ['select'] }
const ledger = tables(['migrations'], ['select'])
const archive = 'archived_messages'
const archiveFunctions = { prepare: 'prepare_archive_v1(integer)', purge: 'purge_archive_v1(integer, integer)' }
const consumerTables = ['consumer_calls', 'held_streams', 'held_messages']
const idempotencyTables = [
  'inbox_consumers',
  'processed_messages',
  'processed_messages_by_day',
  'inbox_watermarks',
  'consumer_offsets',
  'idempotency_keys',
  'entity_versions',
]
const idempotencyFunctions = execute([
  'free_consumer_id()',
  'claim_messages_v1(text, uuid[], timestamp with time zone[], text, bigint[])',
  'claim_messages_by_day_v1(text, uuid[], timestamp with time zone[], text, bigint[])',
  'claim_v1(bigint[], text, bytea[], bigint, timestamp with time zone, text, integer, text)',
  'finish_v1(text, bytea[], bytea, smallint, bytea, text, smallint, text, bytea, boolean, text, text, bigint, bigint, integer, text)',
])

const idempotencyProcedures = execute(
  [
    'claim_message_v1(text, uuid, timestamp with time zone, text, text)',
    'claim_message_by_day_v1(text, uuid, timestamp with time zone, text, text)',
    'claim_key_v1(bigint[], text, bytea[], bigint, timestamp with time zone, text, integer, text, text)',
    'finish_key_v1(text, bytea[], bytea, smallint, bytea, text, smallint, jsonb, bytea, boolean, text, text, bigint, bigint, integer, text)',
  ],
  'procedure',
)

const needed: Readonly<Record<RolePurpose, readonly NeededPrivilege[]>> = {
  writer: [
    ...tables(['messages'], ['insert']),
    ...tables(['scheduled_messages'], ['insert', 'select', 'delete']),
    ...tables(['doorbell', 'relays'], ['select']),
    ...functions,
    ...ledger,
  ],
  relay: [
    ...tables(
      outboxTables.filter((name) => name !== 'operator_actions'),
      all,
    ),
    ...tables(['operator_actions', archive], ['insert']),
    sequence,
    ...functions,
    ...execute(Object.values(archiveFunctions)),
    ...ledger,
  ],
  operator: [
    ...tables(['messages'], ['select', 'insert', 'delete']),
    ...tables(['dead_letters', 'held_keys', 'paused_topics'], all),
    ...tables(['held_streams', 'held_messages'], ['select', 'update', 'delete']),
    ...tables(['operator_actions'], ['select', 'insert']),
    ...tables(
      ['scheduled_messages', 'relays', 'lanes', 'doorbell', 'flow', 'outages', 'maintenance', archive],
      ['select'],
    ),
    ...execute([archiveFunctions.purge]),
    sequence,
    ...ledger,
  ],
  consumer: [...tables(idempotencyTables, all), ...idempotencyFunctions, ...idempotencyProcedures, ...ledger],
  'consumer-store': tables(consumerTables, all),
  reader: [...tables([...outboxTables, archive, ...consumerTables], ['select']), sequence, ...ledger],
}

/** Purposes of people who look for the cause. */
const looks: readonly RolePurpose[] = ['operator', 'reader']

/**
 * What these look at of idempotency's tables, where they are in the same schema: whether a replay would be refused, how long proofs are
 * kept, which requests stand still. Never a stored response.
 */
const seenWhereThere: readonly { readonly name: string; readonly privilege: string }[] = [
  ...['inbox_consumers', 'processed_messages', 'processed_messages_by_day', 'inbox_watermarks'].map((name) => ({
    name,
    privilege: 'select',
  })),
  { name: 'idempotency_keys', privilege: 'select (state, created_at, expires_at)' },
]

/** What a role of the purpose needs, besides `usage` on the schema. */
export function neededPrivileges(purpose: RolePurpose): readonly NeededPrivilege[] {
  return needed[purpose]
}

/**
 * SQL that gives a role what it needs for its purpose, and nothing more. `writer` adds messages, `relay` publishes them,
 * `operator` decides about dead letters, held keys and streams, and topics, `consumer` uses the inbox and idempotent requests,
 * `consumer-store` counts attempts and holds streams (`createConsumerStore`; a consumer may need both), `reader` looks.
 * The last line is a comment where a superuser can let the role see more.
 * Run it as the owner of the tables, after migrating; again after each upgrade.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function grantStatements(
  role: string,
  purpose: RolePurpose,
  options: { readonly schema?: string } = {},
): readonly string[] {
  if (!rolePurposes.includes(purpose)) throw invalidOption('for', purpose, `one of ${rolePurposes.join(', ')}`)
  const schema = quoteIdentifier(schemaOption(options.schema))
  const to = quoteIdentifier(schemaOption(role))
  return [
    `grant usage on schema ${schema} to ${to};`,
    ...needed[purpose].map(
      ({ kind, name, privileges }) => `grant ${privileges.join(', ')} on ${kind} ${schema}.${name} to ${to};`,
    ),
    ...(looks.includes(purpose)
      ? [
          ...seenWhereThere.map(({ name, privilege }) => {
            const table = `${schema}.${name}`
            const grant = `grant ${privilege} on table ${table} to ${to};`
            return `do ${literal(`begin if to_regclass(${literal(table)}) is not null then ${grant} end if; end`)};`
          }),
          `-- so that the doctor sees other sessions, as a superuser: grant pg_read_all_stats to ${to};`,
        ]
      : []),
  ]
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
