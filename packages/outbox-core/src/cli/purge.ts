import type { DatabaseClient } from '../postgres/database-client.ts'
import { pgDatabase } from '../clients/pg.ts'
import { createDeadLetters } from '../dead-letters.ts'
import { schemaOption } from '../postgres/identifiers.ts'
import { maintenanceTexts } from '../postgres/maintenance.ts'
import { sqlStateOf } from '../postgres/queryable.ts'
import { operatorStatements } from '../postgres/operator-statements.ts'
import { confirmed, decision, type Invocation, report, UsageError, type Verb } from './invocation.ts'
import { idempotencyPackage } from './schema-verbs.ts'

/** What can be purged. */
export const purged = ['dead-letters', 'archive', 'inbox', 'keys'] as const

type Purged = (typeof purged)[number]

export interface PurgeFlags {
  readonly only: Purged
  readonly olderThan?: number
  readonly profile?: 'simple' | 'partitioned'
}

/** Rows in one transaction. */
const batchSize = 1_000

export const purge: Verb<PurgeFlags> = async (invocation) => {
  const { only, olderThan, profile } = invocation.flags
  if (only !== 'inbox' && profile !== undefined)
    throw new UsageError(`only the inbox has a profile: leave out --profile, or say --only inbox instead of ${only}`)
  if (only === 'keys' && olderThan !== undefined)
    throw new UsageError('keys expire by themselves: leave out --older-than')
  if (only !== 'keys' && olderThan === undefined) throw new UsageError('how old? give --older-than <days>')
  if (only === 'archive' && !(Number.isInteger(olderThan) && Number(olderThan) >= 1))
    throw new UsageError('the archive is dropped by whole days: --older-than 1 or more')
  // Before it is noted that it has begun.
  if (only === 'inbox' && !(Number.isInteger(olderThan) && Number(olderThan) >= 1 && Number(olderThan) <= 3_650))
    throw new UsageError('the inbox keeps whole days: --older-than 1 to 3650')
  if (only === 'inbox' || only === 'keys') await idempotency()
  const what = { 'dead-letters': 'dead letter', archive: 'archived day', inbox: 'proof of the inbox', keys: 'key' }[
    only
  ]
  const age = olderThan === undefined ? 'that has expired' : `older than ${String(olderThan)} days`
  if (!(await confirmed(invocation, `Delete every ${what} ${age} for ever?`))) return 1
  if (only === 'dead-letters') {
    const letters = createDeadLetters({ db: invocation.client, ...invocation.schema })
    return report(invocation, 'purged', await letters.purge(olderThan ?? 0, decision(invocation)), 0)
  }
  // Before as well, in case the deed is cut off in the middle: it takes many transactions. Who may not note may not purge.
  await note(invocation, only, { olderThan, state: 'begun' }, 0)
  const { rows, ...more } = await purgers[only](invocation, olderThan ?? 0)
  await note(invocation, only, { olderThan, state: 'done', ...more }, rows)
  invocation.output.print({ purged: rows, ...more }, [
    `purged ${String(rows)}`,
    ...(more.dropped ?? []).map((name) => `dropped ${name}`),
  ])
  return 0
}

interface Outcome {
  readonly rows: number
  readonly dropped?: readonly string[]
}

const purgers: Readonly<
  Record<Exclude<Purged, 'dead-letters'>, (invocation: Invocation<PurgeFlags>, days: number) => Promise<Outcome>>
> = {
  archive: async ({ client, schema }, days) => {
    const { purgeArchive } = maintenanceTexts(schemaOption(schema.schema))
    const dropped: string[] = []
    for (let rows = 0; ;) {
      const row = (await client.query(purgeArchive, [days, batchSize])).rows[0] ?? {}
      if (typeof row['dropped'] === 'string') dropped.push(row['dropped'])
      rows += Number(row['deleted'])
      if (row['dropped'] === null && Number(row['deleted']) < batchSize) return { rows, dropped }
    }
  },
  inbox: async (invocation, keepDays) => {
    const { maintainInbox } = await idempotency()
    const { profile } = invocation.flags
    const options = { ...invocation.schema, keepDays, ...(profile === undefined ? {} : { profile }) }
    const { rows, dropped, complete } = await maintainInbox(databaseOf(invocation), options).catch(ofConsumers)
    if (!complete) invocation.output.note(['consumers held a lock for too long: run it again for what is left'])
    return { rows, dropped }
  },
  keys: async (invocation) => {
    const { purgeIdempotencyKeys } = await idempotency()
    const options = { ...invocation.schema, batchSize }
    const { keys } = await purgeIdempotencyKeys(databaseOf(invocation), options).catch(ofConsumers)
    return { rows: keys }
  },
}

async function idempotency(): Promise<NonNullable<Awaited<ReturnType<typeof idempotencyPackage>>>> {
  const found = await idempotencyPackage()
  if (found === null) throw new UsageError('@malote/idempotency is not installed here: run the command where it is')
  return found
}

/** An operator's role may do nothing to the tables of consumers. */
function ofConsumers(error: unknown): never {
  if (sqlStateOf(error) !== '42501') throw error
  const words = error instanceof Error ? error.message : String(error)
  throw new Error(`${words}: give this role what \`malote grants --role … --for consumer\` prints as well`, {
    cause: error,
  })
}

/** Our one connection, for those who open transactions on a pool. */
function databaseOf({ client }: Invocation): DatabaseClient {
  const session = { query: (text: string, values?: unknown[]) => client.query(text, values), release: () => {} }
  return pgDatabase({ connect: () => Promise.resolve(session) })
}

async function note(invocation: Invocation, what: string, facts: object, affected: number): Promise<void> {
  const { operator = '', reason } = decision(invocation)
  const { noteAction } = operatorStatements(schemaOption(invocation.schema.schema))
  const target = JSON.stringify([{ id: what, ...facts }])
  await invocation.client.query(noteAction, [operator, 'purge', reason ?? null, target, affected])
}
