import pg from 'pg'
import { createConsole } from '../console/console.ts'
import type { MigrateIdempotency } from '../doctor.ts'
import { OutboxError } from '../errors.ts'
import { signalled } from './signalled.ts'
import { serveConsole } from './console-server.ts'

export interface ConsoleProcessOptions {
  /** Undefined: as the variables PGHOST and so on say. */
  readonly databaseUrl: string | undefined
  readonly schema: string | undefined
  readonly host: string
  /** 0 takes any that is free. */
  readonly port: number
  /** Host names it answers to. */
  readonly hosts: readonly string[] | undefined
  readonly allowActions: boolean
  /** Needed where others than this machine can reach the address. */
  readonly token: string | undefined
  readonly migrateIdempotency: MigrateIdempotency | null
}

/** One connection looks, one decides. */
const poolSize = 2
const loopback = /^(localhost|127(\.\d{1,3}){3}|::1)$/

/** Serves the console until SIGTERM or SIGINT. @throws OutboxError `INVALID_OPTION` for an address that needs a token */
export async function runConsoleProcess(options: ConsoleProcessOptions): Promise<void> {
  const { databaseUrl, host, port, hosts, allowActions, token, migrateIdempotency } = options
  if (token === undefined && !loopback.test(host))
    throw new OutboxError(
      'INVALID_OPTION',
      `others can reach ${host}: set the variable MALOTE_CONSOLE_TOKEN, 16 characters or more, which the page asks for`,
    )
  const connection = databaseUrl === undefined ? {} : { connectionString: databaseUrl }
  const pool = new pg.Pool({
    max: poolSize,
    application_name: 'malote console',
    connectionTimeoutMillis: 5_000,
    statement_timeout: 30_000, // A status that takes longer is not worth its price.
    ...connection,
  })
  const handle = createConsole({
    pool,
    access: token === undefined ? 'loopback' : { token },
    allowActions,
    ...(options.schema === undefined ? {} : { schema: options.schema }),
    ...(hosts === undefined ? {} : { hosts }),
    ...(migrateIdempotency === null ? {} : { migrateIdempotency }),
  })
  const stopped = signalled()
  const server = await serveConsole(handle, { host, port })
  console.log(`the console is at ${server.url}${allowActions ? '' : ' and only shows: --allow-actions lets it decide'}`)
  await stopped
  await server.close()
  await pool.end()
}
