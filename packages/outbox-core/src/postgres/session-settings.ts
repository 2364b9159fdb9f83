import type { Connection } from './connections.ts'

/**
 * The relay's statements run as they were written for, whatever the role or the database has as defaults. The server ends a
 * statement a little before we give its connection up. It does not hear of a machine that vanishes: it ends a transaction that
 * waits for its next statement as well, or our row in `relays` would stay locked, and our lanes with it, until TCP gives up.
 */
const settingsFor = (timeoutMs: number): Readonly<Record<string, string>> => ({
  statement_timeout: String(Math.ceil(timeoutMs * 0.9)),
  idle_in_transaction_session_timeout: String(timeoutMs),
  lock_timeout: '0',
  bytea_output: 'hex',
  extra_float_digits: '1',
})

/** Once for a session of our own. */
export async function prepareSession(connection: Connection, timeoutMs: number): Promise<void> {
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
export function prepareStatements(connection: Connection, timeoutMs: number): void {
  const settings = Object.entries(settingsFor(timeoutMs))
  connection.setPerStatement(settings.map(([name, value]) => `set local ${name} = '${value}'`).join('; '))
}
