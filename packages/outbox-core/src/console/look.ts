import { type Clock } from '../clock.ts'
import { createDeadLetters, type DeadLetter } from '../dead-letters.ts'
import {
  diagnose as diagnoseOutbox,
  diagnoseFlow,
  type Finding,
  isAboutFlow,
  type MigrateIdempotency,
} from '../doctor.ts'
import { createHeldKeys, type HeldKey } from '../held-keys.ts'
import { createHeldStreams, type HeldStream } from '../held-streams.ts'
import { listOperatorActions, type OperatorAction } from '../operator-actions.ts'
import { consoleStatements } from '../postgres/console-statements.ts'
import type { RolePurpose } from '../postgres/grants.ts'
import type { MigrationClient, MigrationPool } from '../postgres/migrate.ts'
import { type Queryable, sqlStateOf } from '../postgres/queryable.ts'
import { type OutboxStatus, outboxStatus } from '../status.ts'
import { createTopics, type PausedTopic } from '../topics.ts'
import { createTurns, sparing, type Sparing } from './sparing.ts'

/** What there is to see. A part is null when this role may not see it, or its tables are not there. */
export interface ConsoleView {
  readonly status: OutboxStatus | null
  /** What the doctor found, without what is well. */
  readonly findings: readonly Finding[]
  readonly deadLetters: readonly DeadLetter[] | null
  readonly heldKeys: readonly HeldKey[] | null
  readonly heldStreams: readonly HeldStream[] | null
  readonly pausedTopics: readonly PausedTopic[] | null
  readonly actions: readonly OperatorAction[] | null
  /** About how many rows the tables of the inbox and of idempotency hold, as far as there are any. */
  readonly consumerCounts: readonly { readonly name: string; readonly rows: number }[] | null
}

export interface LookParts {
  readonly pool: MigrationPool
  readonly schema: string
  readonly purpose: RolePurpose
  readonly clock: Clock
  readonly migrateIdempotency: MigrateIdempotency | undefined
}

/** Between two looks, in milliseconds, where the database is quick. */
const lookRestMs = 900
/** The server and the schema change seldom. Whether messages get out is asked at every look. */
const doctorRestMs = 15_000
/** Most rows of each list: what is more is counted, and mended by filter on the command line. */
const longest = 100
const latestActions = 12

/** Looks when asked, on one connection, once at a time however many watch. */
export function createLook(parts: LookParts): Sparing<ConsoleView> {
  const { pool, clock } = parts
  const inTurn = createTurns()
  const others = sparing(() => onOneClient(pool, (client) => diagnose(client, parts)), {
    restMs: doctorRestMs,
    clock,
    inTurn,
  })
  const now = sparing(() => onOneClient(pool, (client) => see(client, parts.schema)), {
    restMs: lookRestMs,
    clock,
    inTurn,
  })
  return {
    get: async () => {
      const found = await others.get().catch(unable)
      const { flow, ...seen } = await now.get()
      return { ...seen, findings: [...flow, ...found] }
    },
    forget: () => {
      others.forget()
      now.forget()
    },
  }
}

async function diagnose(client: MigrationClient, parts: LookParts): Promise<readonly Finding[]> {
  const { schema, purpose, migrateIdempotency, clock } = parts
  const idempotency = migrateIdempotency === undefined ? {} : { migrateIdempotency }
  const findings = await diagnoseOutbox(client, { schema, purpose, clock, ...idempotency })
  return findings.filter((finding) => finding.level !== 'ok' && !isAboutFlow(finding))
}

/** What there is to see is shown without the doctor too; where the database is away, that fails as well and says so. */
function unable(error: unknown): readonly Finding[] {
  const detail = `the doctor could not look: ${error instanceof Error ? error.message : String(error)}`
  return [{ check: 'doctor', level: 'unseen', code: 'UNSEEN', detail, since: null, mend: null }]
}

async function see(
  db: MigrationClient & Queryable,
  schema: string,
): Promise<Omit<ConsoleView, 'findings'> & { readonly flow: readonly Finding[] }> {
  const given = { db, schema }
  const limit = longest
  const status = await unlessUnseen(() => outboxStatus(db, { schema }))
  const flow = status === null ? [] : await diagnoseFlow(db, status, { schema })
  return {
    status,
    flow: flow.filter(({ level }) => level !== 'ok'),
    deadLetters: await unlessUnseen(() => createDeadLetters(given).list({ limit })),
    heldKeys: await unlessUnseen(() => createHeldKeys(given).list({ limit })),
    heldStreams: await unlessUnseen(() => createHeldStreams(given).list({ limit })),
    pausedTopics: await unlessUnseen(() => createTopics(given).listPaused()),
    actions: await unlessUnseen(() => listOperatorActions({ ...given, limit: latestActions })),
    consumerCounts: (await db.query(consoleStatements.consumerCounts, [schema])).rows as never,
  }
}

/** A table that is missing or forbidden is the doctor's to tell; the rest is shown all the same. */
async function unlessUnseen<Value>(ask: () => Promise<Value>): Promise<Value | null> {
  try {
    return await ask()
  } catch (error) {
    if (['42501', '42P01', '42703', '3F000'].includes(sqlStateOf(error) ?? '')) return null
    throw error
  }
}

/** The pool gets the client back; one whose work failed is not used again. */
export async function onOneClient<Value>(
  pool: MigrationPool,
  work: (client: MigrationClient & Queryable) => Promise<Value>,
): Promise<Value> {
  const client = await pool.connect()
  try {
    const value = await work(client)
    client.release()
    return value
  } catch (error) {
    client.release(sqlStateOf(error) === undefined)
    throw error
  }
}
