import { OutboxError } from '../errors.ts'
import { checkTables, type CheckRow } from '../postgres/check.ts'
import type { Connection } from '../postgres/connections.ts'
import { createMaintenanceQueries } from '../postgres/maintenance.ts'
import { sqlStateOf } from '../postgres/queryable.ts'

/** Days for which there are partitions: nobody may look after the archive for a week. */
export const archiveDaysAhead = 7

/** A thousand million million below 2^53, from which numbers are no longer exact: room for years, and reached by mistake only. */
const highestSeq = 8e15

/**
 * Refuses to work on tables that would break the floor's promise.
 *
 * @returns the sequence behind `messages.seq`
 * @throws OutboxError `SCHEMA_MISSING`, `SCHEMA_UNSUPPORTED`
 */
export async function checkSchema(connection: Connection, schema: string): Promise<string> {
  let row: CheckRow
  try {
    row = await checkTables(connection, schema)
  } catch (error) {
    const state = sqlStateOf(error)
    if (state !== '42P01' && state !== '3F000') throw error
    throw new OutboxError(
      'SCHEMA_MISSING',
      `the outbox tables are not in schema "${schema}", or are of an earlier version (${textOf(error)}): run migrate(db) or \`malote migrate\` first`,
      { cause: error },
    )
  }
  if ((row.last ?? 0) > highestSeq)
    throw new OutboxError(
      'SCHEMA_UNSUPPORTED',
      `the sequence of "${schema}".messages is at ${String(row.last)}, where JavaScript can no longer count: drain the outbox and restart the sequence`,
    )
  if (row.cache === 1 && row.always) return row.sequence
  throw new OutboxError(
    'SCHEMA_UNSUPPORTED',
    `"${schema}".messages.seq must be generated always with cache 1: a cached value can appear below what a relay has already read past`,
  )
}

/**
 * Refuses to publish what it could not archive afterwards. Makes the partitions of the next days.
 *
 * @throws OutboxError `SCHEMA_MISSING`
 */
export async function prepareArchive(connection: Connection, schema: string): Promise<void> {
  try {
    const archive = createMaintenanceQueries(connection, schema)
    await archive.mayArchive()
    await archive.prepareArchive(archiveDaysAhead)
  } catch (cause) {
    const state = sqlStateOf(cause) ?? ''
    if (!['42P01', '42883'].includes(state)) throw cause
    throw new OutboxError(
      'SCHEMA_MISSING',
      `afterPublish is "archive", and schema "${schema}" has no archive: run migrate(db) or \`malote migrate\` first`,
      { cause },
    )
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
