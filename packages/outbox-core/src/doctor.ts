import { quoteIdentifier, schemaOption } from './postgres/identifiers.ts'
import { migrate, type MigrationClient } from './postgres/migrate.ts'
import { outboxStatus } from './status.ts'

/** One thing the doctor looked at. */
export interface Finding {
  readonly check: string
  readonly level: 'ok' | 'warning' | 'problem'
  /** What was found and, when it is not ok, what to do. */
  readonly detail: string
}

interface Patient {
  readonly client: MigrationClient
  readonly schema: string
  readonly quoted: string
}

type Check = (patient: Patient) => Promise<Omit<Finding, 'check'>>

const ok = (detail: string): Omit<Finding, 'check'> => ({ level: 'ok', detail })
const warning = (detail: string): Omit<Finding, 'check'> => ({ level: 'warning', detail })
const problem = (detail: string): Omit<Finding, 'check'> => ({ level: 'problem', detail })

/**
 * Looks for what makes an outbox slow, silent or unsafe, and says what to do about it. Changes nothing.
 *
 * @param client - a pg client outside a transaction
 */
export async function examine(
  client: MigrationClient,
  options: { readonly schema?: string } = {},
): Promise<readonly Finding[]> {
  const schema = schemaOption(options.schema)
  const patient = { client, schema, quoted: quoteIdentifier(schema) }
  const migrations = await checkMigrations(patient)
  const findings: Finding[] = [{ check: 'migrations', ...migrations }]
  if (migrations.level === 'problem') return findings // Nothing else can be looked at.
  for (const [check, look] of Object.entries(checks)) findings.push({ check, ...(await look(patient)) })
  return findings
}

const checkMigrations: Check = async ({ client, schema }) => {
  const missing = await migrate(client, { schema, dryRun: true })
  if (missing.length === 0) return ok('all applied')
  return problem(`not applied: ${missing.map((migration) => migration.name).join(', ')}; run \`malote migrate\``)
}

const checks: Record<string, Check> = {
  'server version': async ({ client }) => {
    const version = await one(client, `select current_setting('server_version_num')::int as value`)
    return Number(version) >= 140_000
      ? ok(`PostgreSQL ${String(Number(version) / 10_000).split('.')[0] ?? ''}`)
      : problem('PostgreSQL 14 or newer is needed')
  },

  'sequence cache': async ({ client, quoted }) => {
    const cache = await one(
      client,
      `select seqcache as value from pg_sequence where seqrelid = pg_get_serial_sequence($1, 'seq')::regclass`,
      [`${quoted}.messages`],
    )
    if (Number(cache) === 1) return ok('1')
    return problem(
      `the cache of messages.seq is ${String(cache)}: values would appear below what a relay has read past; alter the sequence to cache 1`,
    )
  },

  relays: async ({ client, schema }) => {
    const { relays, ready, lanesWithoutRelay } = await outboxStatus(client, { schema })
    const expired = relays.filter((relay) => relay.leaseMs < 0)
    if (relays.length === 0)
      return ready > 0
        ? problem(`no relay runs and ${String(ready)} messages wait: start one`)
        : warning('no relay runs')
    if (expired.length === relays.length)
      return problem('every relay let its lease run out: they hang or cannot reach the database')
    if (lanesWithoutRelay > 0)
      return warning(`${String(lanesWithoutRelay)} lanes have no relay: normal for seconds after one joined or left`)
    return ok(`${String(relays.length)} alive`)
  },

  'old snapshots': async ({ client }) => {
    const seconds = await one(
      client,
      `
      select max(extract(epoch from clock_timestamp() - xact_start))::int as value from pg_stat_activity
      where backend_xmin is not null and pid <> pg_backend_pid() and datname = current_database()`,
    )
    if (seconds === null || Number(seconds) < 300) return ok('none over five minutes')
    return warning(
      `a transaction is open for ${String(seconds)} s and keeps vacuum from removing settled messages: find it in pg_stat_activity`,
    )
  },

  'open writers': async ({ client, quoted }) => {
    const seconds = await one(
      client,
      `
      select max(extract(epoch from clock_timestamp() - activity.xact_start))::int as value
      from pg_locks as held join pg_stat_activity as activity on activity.pid = held.pid
      where held.locktype = 'relation' and held.relation = $1::regclass and held.mode = 'RowExclusiveLock' and activity.state like 'idle in transaction%'`,
      [`${quoted}.messages`],
    )
    if (seconds === null || Number(seconds) < 60) return ok('none idle over a minute')
    return warning(
      `a transaction that added messages is idle for ${String(seconds)} s: the relay must look again at everything since; end it`,
    )
  },

  'prepared transactions': async ({ client }) => {
    const count = await one(
      client,
      `select count(*)::int as value from pg_prepared_xacts where database = current_database() and prepared < now() - interval '5 minutes'`,
    )
    return Number(count) === 0
      ? ok('none forgotten')
      : warning(`${String(count)} prepared transactions are older than five minutes: commit or roll them back`)
  },

  'dead letters': async ({ client, schema }) => {
    const { deadLetters, heldKeys } = await outboxStatus(client, { schema })
    if (deadLetters === 0 && heldKeys === 0) return ok('none')
    return warning(
      `${String(deadLetters)} dead letters, ${String(heldKeys)} held keys: see \`malote dead-letters list\``,
    )
  },

  privileges: async ({ client, quoted }) => {
    const lacking = await one(
      client,
      `
      select string_agg(format('%s on %s', privilege, name), ', ') as value
      from unnest(array['messages', 'scheduled_messages', 'relays', 'lanes', 'doorbell', 'dead_letters', 'held_keys']) as name,
        unnest(array['select', 'insert', 'update', 'delete']) as privilege
      where not has_table_privilege($1 || '.' || quote_ident(name), privilege)`,
      [quoted],
    )
    return lacking === null
      ? ok('this role may do all a relay does')
      : warning(`this role lacks ${String(lacking)}: fine for a writer, not for a relay`)
  },

  'clock skew': async ({ client }) => {
    const sentMs = Date.now()
    const serverMs = Number(await one(client, `select extract(epoch from clock_timestamp()) * 1000 as value`))
    const skewMs = Math.round(serverMs - (sentMs + Date.now()) / 2)
    if (Math.abs(skewMs) < 1_000) return ok(`${String(skewMs)} ms`)
    return warning(
      `this machine's clock differs from the database's by ${String(skewMs)} ms: harmless to Malote, which trusts only the database's, but not to your logs`,
    )
  },
}

/** The one value a question has; numbers and text alike. */
async function one(client: MigrationClient, text: string, values: unknown[] = []): Promise<string | number | null> {
  const { rows } = await client.query(text, values)
  return (rows[0]?.['value'] ?? null) as string | number | null
}
