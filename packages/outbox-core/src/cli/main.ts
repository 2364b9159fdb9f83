#!/usr/bin/env node
import { parseArgs } from 'node:util'
import pg from 'pg'
import { OutboxError } from '../errors.ts'
import { commands } from './commands.ts'
import { createOutput } from './output.ts'

const usage = `malote: look after an outbox

  malote migrate [--dry-run]              create or upgrade the tables
  malote status                           what waits, who relays
  malote doctor                           what is wrong, and what to do about it
  malote dead-letters list                newest first, without bodies
  malote dead-letters show ID             one, with its failures
  malote dead-letters replay ID…          back to its old place in the order; frees its key
  malote dead-letters discard ID…         delete it; frees its key
  malote held-keys list
  malote held-keys release TOPIC KEY      go on without the dead letter
  malote purge --older-than DAYS          delete dead letters older than that

  --database-url URL   default: the environment variable DATABASE_URL
  --schema NAME        default: malote
  --json               one JSON value on standard output
  --yes                do not ask before deleting

Exit codes: 0 done, 1 failed or the doctor found a problem, 2 the command line is wrong.`

const { values, positionals } = readArguments()

function readArguments(): { values: Record<string, string | boolean | undefined>; positionals: string[] } {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        'database-url': { type: 'string' },
        schema: { type: 'string' },
        json: { type: 'boolean' },
        yes: { type: 'boolean' },
        'dry-run': { type: 'boolean' },
        'older-than': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function refuse(why: string): never {
  console.error(`malote: ${why}\n\n${usage}`)
  process.exit(2)
}

/** The longest command that the words begin with, and the words that are left. */
function findCommand(words: readonly string[]): { run: (typeof commands)[string]; rest: readonly string[] } {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ')
    const run = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (run !== undefined && words.length >= length) return { run, rest: words.slice(length) }
  }
  return refuse(`there is no command "${words.join(' ')}"`)
}

async function main(): Promise<number> {
  if (values['help'] === true || positionals.length === 0) {
    console.log(usage)
    return positionals.length === 0 && values['help'] !== true ? 2 : 0
  }
  const { run, rest } = findCommand(positionals)
  const url = values['database-url'] ?? process.env['DATABASE_URL']
  if (typeof url !== 'string' || url === '') return refuse('which database? give --database-url or set DATABASE_URL')
  const client = new pg.Client({ connectionString: url, application_name: 'malote' })
  await client.connect()
  try {
    const schema = typeof values['schema'] === 'string' ? { schema: values['schema'] } : {}
    return await run({
      client,
      schema,
      flags: values,
      words: rest,
      output: createOutput(values['json'] === true),
      refuse,
    })
  } finally {
    await client.end()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  // The address may hold a password, so only the driver's words are shown.
  const code = error instanceof OutboxError ? ` (${error.code})` : ''
  console.error(`malote: ${error instanceof Error ? error.message || error.name : String(error)}${code}`)
  process.exitCode = 1
}
