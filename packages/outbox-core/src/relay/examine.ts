import { relayStatements, type RelayStatements } from '../postgres/relay-statements.ts'
import { checkSchema, prepareArchive } from './check-schema.ts'
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
 * The relay's statements run as they were written for, whatever the role or the database has as defaults. The server ends a
 * statement a little before we give its connection up.
 */
const settingsFor = (timeoutMs: number): Readonly<Record<string, string>> => ({
  statement_timeout: String(Math.ceil(timeoutMs * 0.9)),
  lock_timeout: '0',
  bytea_output: 'hex',
  extra_float_digits: '1',
})

/** Once for a session of our own. */
async function prepareSession(connection: Connection, timeoutMs: number): Promise<void> {
  const settings = {
    ...settingsFor(timeoutMs),
    default_transaction_isolation: 'read committed',
    default_transaction_read_only: 'off',
    idle_session_timeout: '0',
  }
  await connection.query(
    'select set_config(name, value, false) from unnest($1::text[], $2::text[]) as settings (name, value)',
    [Object.keys(settings), Object.values(settings)],
  )
}

/** With each statement: a pooler would pass the settings of a session on to others. */
function prepareStatements(connection: Connection, timeoutMs: number): void {
  const settings = Object.entries(settingsFor(timeoutMs))
  connection.setPerStatement(settings.map(([name, value]) => `set local ${name} = '${value}'`).join('; '))
}

/** @throws OutboxError `SCHEMA_MISSING`, `SCHEMA_UNSUPPORTED` */
export async function examine(
  connections: Connections,
  { schema, durableSettles, presence, doorbell, databaseTimeoutMs, isArchived }: ResolvedRelayOptions,
): Promise<DatabaseFacts> {
  const statements = relayStatements(schema, durableSettles)
  const { reader, settler, control } = connections
  const all = [reader, settler, control]
  // Who turns both off says that there is a pooler.
  const isSession = (presence || doorbell) && (await areSessions(connections))
  if (isSession) {
    await Promise.all(all.map((connection) => prepareSession(connection, databaseTimeoutMs)))
    await prepareReader(reader)
  } else for (const connection of all) prepareStatements(connection, databaseTimeoutMs)
  const sequence = await checkSchema(reader, statements, schema)
  if (isArchived !== undefined) await prepareArchive(reader, schema)
  return { statements, sequence, isSession }
}
