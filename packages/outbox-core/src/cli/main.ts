#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { type Command, CommanderError } from 'commander'
import pg from 'pg'
import { OutboxError } from '../errors.ts'
import { loadConfigs } from '../process/config.ts'
import { runConsoleProcess } from '../process/console-process.ts'
import { runRelayProcess } from '../process/relay-process.ts'
import { type CommonFlags, type Invocation, UsageError } from './invocation.ts'
import { createOutput } from './output.ts'
import { createProgram, type Run, type RunConsole, type RunRelay } from './program.ts'
import { migrateIdempotency } from './schema-verbs.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** @throws UsageError when nothing says which database */
function databaseUrlOf(flags: CommonFlags): string | undefined {
  const url = flags.databaseUrl ?? process.env['DATABASE_URL']
  const isGiven =
    url !== undefined || Object.keys(process.env).some((name) => /^PG(HOST|USER|DATABASE|SERVICE)/.test(name))
  if (!isGiven) throw new UsageError('which database? give --database-url, or set DATABASE_URL or PGHOST')
  return url
}

/** @throws UsageError for an address that cannot be read; it may hold a password, so it is not shown */
function clientOf(url: string | undefined): pg.Client {
  try {
    return new pg.Client({ application_name: 'malote', ...(url === undefined ? {} : { connectionString: url }) })
  } catch (cause) {
    throw new UsageError('--database-url (or DATABASE_URL) cannot be read: such as postgres://user@host/database', {
      cause,
    })
  }
}

const run: Run = async (verb, flags, words) => {
  const url = databaseUrlOf(flags)
  const client = clientOf(url)
  client.on('error', () => {}) // The statement under way fails with it, and is reported.
  let connected: Promise<unknown> | null = null
  // Not before the first statement: a line that is wrong is told so where the database is away, too.
  const query: Invocation['client']['query'] = async (text, values) => {
    await (connected ??= client.connect())
    return client.query(text, values)
  }
  try {
    const schema = flags.schema === undefined ? {} : { schema: flags.schema }
    const output = createOutput(flags.json === true)
    process.exitCode = await verb({ client: { query }, schema, flags: flags as never, words, output })
  } finally {
    if (connected !== null) await client.end()
  }
}

const relay: RunRelay = async (flags) => {
  const { schema, host = '127.0.0.1', port = 9464 } = flags
  const configs = await loadConfigs(flags.config, schema)
  const isNeeded = configs.some((config) => config.databaseUrl === undefined)
  await runRelayProcess({ configs, databaseUrl: isNeeded ? databaseUrlOf(flags) : undefined, host, port })
}

const serve: RunConsole = async (flags) => {
  const { schema, host = '127.0.0.1', port = 9465, answerTo: hosts, allowActions = false } = flags
  await runConsoleProcess({
    databaseUrl: databaseUrlOf(flags),
    schema,
    host,
    port,
    hosts,
    allowActions,
    token: process.env['MALOTE_CONSOLE_TOKEN'], // Not a flag: every user of the machine sees those.
    migrateIdempotency: await migrateIdempotency(),
  })
}

const program = createProgram(version, run, relay, serve)
const everyCommand = [program, ...program.commands, ...program.commands.flatMap((command) => command.commands)]
for (const command of everyCommand) command.exitOverride().showSuggestionAfterError()
let running: Command | null = null
program.hook('preAction', (_, command) => {
  running = command
})

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = exitCode(error, running)
}

/** Errors first and short. */
function exitCode(error: unknown, command: Command | null): number {
  // It has printed its own words.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  // The address may hold a password, so only the driver's words are shown.
  const code = error instanceof OutboxError ? ` (${error.code})` : ''
  console.error(`malote: ${error instanceof Error ? error.message || error.name : String(error)}${code}`)
  if (error instanceof UsageError || (error instanceof OutboxError && error.code === 'INVALID_OPTION')) return 2
  return command?.name() === 'doctor' ? 3 : 1
}
