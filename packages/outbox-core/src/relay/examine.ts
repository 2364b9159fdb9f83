import { relayStatements, type RelayStatements } from '../postgres/relay-statements.ts'
import { checkSchema } from './check-schema.ts'
import { areSessions, type Connections } from './connections.ts'
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

/** @throws OutboxError `SCHEMA_MISSING`, `SCHEMA_UNSUPPORTED` */
export async function examine(
  connections: Connections,
  { schema, durableSettles, presence, doorbell }: ResolvedRelayOptions,
): Promise<DatabaseFacts> {
  const statements = relayStatements(schema, durableSettles)
  const sequence = await checkSchema(connections.reader, statements, schema)
  // Who turns both off says that there is a pooler.
  const isSession = (presence || doorbell) && (await areSessions(connections))
  if (isSession) await prepareReader(connections.reader)
  return { statements, sequence, isSession }
}
