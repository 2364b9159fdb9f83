import { areSessions, type Connections } from '../postgres/connections.ts'
import { prepareReads } from '../postgres/kept-plan.ts'
import { prepareSession, prepareStatements } from '../postgres/session-settings.ts'
import { checkSchema, prepareArchive } from './check-schema.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'

/** What is found out about the database before a session begins. */
export interface DatabaseFacts {
  /** Name of the sequence that the messages draw from. */
  readonly sequence: string
  /** No pooler in transaction mode stands in between: connections may keep state, and their backends are ours alone. */
  readonly isSession: boolean
}

/** @throws OutboxError `SCHEMA_MISSING`, `SCHEMA_UNSUPPORTED` */
export async function examine(
  connections: Connections,
  { schema, presence, doorbell, databaseTimeoutMs, isArchived }: ResolvedRelayOptions,
): Promise<DatabaseFacts> {
  const { reader, settler, control } = connections
  const all = [reader, settler, control]
  // Who turns both off says that there is a pooler.
  const isSession = (presence || doorbell) && (await areSessions(connections))
  if (isSession) {
    await Promise.all(all.map((connection) => prepareSession(connection, databaseTimeoutMs)))
    await prepareReads(reader)
  } else for (const connection of all) prepareStatements(connection, databaseTimeoutMs)
  const sequence = await checkSchema(reader, schema)
  if (isArchived !== undefined) await prepareArchive(reader, schema)
  return { sequence, isSession }
}
