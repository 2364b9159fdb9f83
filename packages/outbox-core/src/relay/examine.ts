import { relayStatements, type RelayStatements } from '../postgres/relay-statements.ts'
import { checkSchema } from './check-schema.ts'
import { areSessions, type Connection, type Connections } from './connections.ts'
import { prepareReader } from './reader.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'

/** What is found out about the database before a session begins. */
export interface DatabaseFacts {
  readonly statements: RelayStatements
  /** Name of the sequence that the messages draw from. */
  readonly sequence: string
  /** No pooler in transaction mode stands in between: connections may keep state, and their backends are ours alone. */
  readonly isSession: boolean
}

/**
 * Runs the relay's statements as they were written for, whatever the role or the database has as defaults. The server ends a
 * statement a little before we give its connection up. Only on sessions of our own: a pooler would pass it all on to others.
 */
async function prepareSession(connection: Connection, timeoutMs: number): Promise<void> {
  await connection.query(
    `select set_config('default_transaction_isolation', 'read committed', false), set_config('default_transaction_read_only', 'off', false),
      set_config('statement_timeout', $1, false), set_config('lock_timeout', '0', false), set_config('idle_session_timeout', '0', false),
      set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', false)`,
    [String(Math.ceil(timeoutMs * 0.9))],
  )
}

/** @throws OutboxError `SCHEMA_MISSING`, `SCHEMA_UNSUPPORTED` */
export async function examine(
  connections: Connections,
  { schema, durableSettles, presence, doorbell, databaseTimeoutMs }: ResolvedRelayOptions,
): Promise<DatabaseFacts> {
  const statements = relayStatements(schema, durableSettles)
  const sequence = await checkSchema(connections.reader, statements, schema)
  // Who turns both off says that there is a pooler.
  const isSession = (presence || doorbell) && (await areSessions(connections))
  if (isSession) {
    const { reader, settler, control } = connections
    await Promise.all([reader, settler, control].map((connection) => prepareSession(connection, databaseTimeoutMs)))
    await prepareReader(reader)
  }
  return { statements, sequence, isSession }
}
