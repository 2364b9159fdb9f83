import { quoteIdentifier } from '../postgres/identifiers.ts'
import { neededPrivileges } from '../postgres/grants.ts'
import { expectedIndexes } from './expected-indexes.ts'
import { expectedTriggers } from './expected-triggers.ts'
import { type Check, duration, found, ok } from './finding.ts'

type Row = Readonly<Record<string, unknown>>

/** How a session is shown: enough to find its owner. */
const session = (row: Row): string =>
  `pid ${String(row['pid'])} (${String(row['user'])}, ${String(row['application'])}, ${typeof row['address'] === 'string' ? row['address'] : 'local'}) for ${duration(Number(row['seconds']) * 1_000)}: ${String(row['query']).replaceAll(/\s+/g, ' ')}`

/** The checks that ask whether the database lets messages out quickly and safely. */
export const serverChecks: Readonly<Record<string, Check>> = {
  server: async ({ client, statements, limits }) => {
    const row = (await client.query(statements.server)).rows[0] as Row
    const [version, connections, most] = [row['version'], row['connections'], row['max_connections']].map(Number) as [
      number,
      number,
      number,
    ]
    const findings = []
    if (version < 140_000)
      findings.push(
        found(
          'problem',
          'SERVER_TOO_OLD',
          `this is PostgreSQL ${String(Math.floor(version / 10_000))}: 14 or newer is needed`,
          'upgrade the server',
        ),
      )
    if (row['autovacuum'] === false)
      findings.push(
        found(
          'problem',
          'AUTOVACUUM_OFF',
          'autovacuum is off for the whole server: published messages stay on disk',
          'alter system set autovacuum = on; select pg_reload_conf();',
        ),
      )
    if (connections > most * limits.connectionShare)
      findings.push(
        found(
          'warning',
          'CONNECTIONS_NEAR_LIMIT',
          `${String(connections)} of ${String(most)} connections are taken: a relay that must connect again may not get one`,
          'lower the size of pools, or put a pooler in front of the writers',
        ),
      )
    return findings.length > 0
      ? findings
      : ok(`PostgreSQL ${String(Math.floor(version / 10_000))}, ${String(connections)} of ${String(most)} connections`)
  },

  'sequence cache': async ({ client, statements, schema }) => {
    const name = `${quoteIdentifier(schema)}.messages`
    const cache = Number((await client.query(statements.sequenceCache, [name])).rows[0]?.['cache'])
    if (cache === 1) return ok('1')
    return [
      found(
        'problem',
        'SEQUENCE_CACHE',
        `the cache of messages.seq is ${String(cache)}: values would appear below what a relay has read past`,
        `alter sequence ${quoteIdentifier(schema)}.messages_seq_seq cache 1;`,
      ),
    ]
  },

  indexes: async ({ client, statements, schema }) => {
    const { rows } = await client.query(statements.indexes, [schema])
    const s = quoteIdentifier(schema)
    const names = new Set(rows.map((row) => String(row['name'])))
    const tables = new Set(rows.map((row) => String(row['table'])))
    const invalid = rows
      .filter((row) => row['valid'] === false)
      .map((row) =>
        found(
          'problem',
          'INDEX_INVALID',
          `index ${String(row['name'])} of ${String(row['table'])} is invalid: every read walks the table`,
          `reindex index concurrently ${s}.${quoteIdentifier(String(row['name']))};`,
        ),
      )
    const missing = expectedIndexes
      .filter(({ table, name }) => tables.has(table) && !names.has(name))
      .map(({ table, name, create }) =>
        found(
          'problem',
          'INDEX_MISSING',
          `index ${name} of ${table} is gone: every read walks the table, and what it kept unique no longer is`,
          create.replace('SCHEMA', () => s),
        ),
      )
    return [...invalid, ...missing].length > 0 ? [...invalid, ...missing] : ok('all there and valid')
  },

  triggers: async ({ client, statements, schema }) => {
    const s = quoteIdentifier(schema)
    const { rows } = await client.query(statements.triggers, [`${s}.messages`])
    const names = new Set(rows.map((row) => String(row['name'])))
    const missing = expectedTriggers
      .filter(({ name }) => !names.has(name))
      .map(({ name, create }) =>
        found(
          'problem',
          'TRIGGER_MISSING',
          `trigger ${name} of messages is gone or not always on: what plain SQL writes may have no lane, and then no relay ever reads it`,
          create.replaceAll('SCHEMA', () => s),
        ),
      )
    return missing.length > 0 ? missing : ok('all there and on')
  },

  vacuum: async ({ client, statements, schema, limits }) => {
    const { rows } = await client.query(statements.autovacuum, [schema])
    const s = quoteIdentifier(schema)
    const findings = rows.flatMap((row) => {
      const name = String(row['name'])
      if (row['off'] === true)
        return found(
          'problem',
          'AUTOVACUUM_OFF',
          `autovacuum of ${name} is off: published messages stay on disk`,
          `alter table ${s}.${name} reset (autovacuum_enabled);`,
        )
      if (Number(row['dead']) < limits.deadRows) return []
      return found(
        'warning',
        'AUTOVACUUM_STARVED',
        `${name} has ${String(row['dead'])} dead rows: vacuum does not get through`,
        `look for old snapshots below, then: vacuum ${s}.${name};`,
        row['last'] instanceof Date ? row['last'] : null,
      )
    })
    return findings.length > 0 ? findings : ok('keeps up')
  },

  sessions: async ({ client, statements }) => {
    if ((await client.query(statements.seesSessions)).rows[0]?.['sees'] === true) return ok('all seen')
    return [
      {
        level: 'unseen',
        code: 'UNSEEN',
        detail: 'this role does not see what sessions of other roles do: old snapshots and idle writers may be there',
        since: null,
        mend: 'as a superuser: grant pg_read_all_stats to ROLE;',
      },
    ]
  },

  'old snapshots': async ({ client, statements, limits }) => {
    const { rows } = await client.query(statements.oldSnapshots, [limits.openTransactionMs])
    if (rows.length === 0) return ok(`none over ${duration(limits.openTransactionMs)}`)
    return rows.map((row) =>
      found(
        'warning',
        'OLD_SNAPSHOT',
        `a transaction keeps vacuum from removing published messages: ${session(row)}`,
        `select pg_terminate_backend(${String(row['pid'])});`,
        row['since'] as Date,
      ),
    )
  },

  'open writers': async ({ client, statements, limits }) => {
    const { rows } = await client.query(statements.openWriters, [limits.idleWriterMs])
    if (rows.length === 0) return ok(`none idle over ${duration(limits.idleWriterMs)}`)
    return rows.map((row) =>
      found(
        'warning',
        'IDLE_WRITER',
        `a transaction that wrote messages is idle, and the relay must look again at everything since: ${session(row)}`,
        `select pg_terminate_backend(${String(row['pid'])});`,
        row['since'] as Date,
      ),
    )
  },

  'prepared transactions': async ({ client, statements, limits }) => {
    const { rows } = await client.query(statements.preparedTransactions, [limits.openTransactionMs])
    if (rows.length === 0) return ok('none forgotten')
    return rows.map((row) =>
      found(
        'warning',
        'PREPARED_TRANSACTION',
        `prepared transaction ${String(row['gid'])} is ${duration(Number(row['seconds']) * 1_000)} old`,
        `commit prepared '${String(row['gid']).replaceAll("'", "''")}'; or rollback prepared …`,
        row['since'] as Date,
      ),
    )
  },

  'replication slots': async ({ client, statements }) => {
    const { rows } = await client.query(statements.replicationSlots)
    if (rows.length === 0) return ok('none left behind')
    return rows.map((row) =>
      found(
        'warning',
        'REPLICATION_SLOT',
        `replication slot ${String(row['slot'])} is ${row['active'] === true ? 'far behind' : 'not in use'} and holds back ${String(row['bytes'])} bytes of WAL`,
        `start its consumer, or: select pg_drop_replication_slot('${String(row['slot'])}');`,
      ),
    )
  },

  privileges: async ({ client, statements, schema, purpose, flag, tables }) => {
    // Idempotency's tables may be elsewhere: a check of their own says so.
    const isHere = purpose !== 'consumer' || tables.has('idempotency_keys')
    const needed = JSON.stringify(isHere ? neededPrivileges(purpose) : [])
    const { rows } = await client.query(statements.lackingPrivilege, [needed, schema])
    if (rows.length === 0) return ok(`this role may do all that a ${purpose} does`)
    const lacking = rows.map((row) => `${String(row['privilege'])} on ${String(row['kind'])} ${String(row['name'])}`)
    return [
      found(
        'problem',
        'GRANTS_MISSING',
        `this role cannot be a ${purpose}: it lacks ${lacking.join(', ')}`,
        `as the owner: \`malote grants --role ROLE --for ${purpose}${flag}\``,
      ),
    ]
  },

  'clock skew': async ({ client, statements, limits, clock }) => {
    const sentMs = clock.wallMs()
    const serverMs = Number((await client.query(statements.clock)).rows[0]?.['ms'])
    const skewMs = Math.round(serverMs - (sentMs + clock.wallMs()) / 2)
    if (Math.abs(skewMs) < limits.clockSkewMs) return ok(`${String(skewMs)} ms`)
    return [
      found(
        'warning',
        'CLOCK_SKEW',
        `this machine's clock differs from the database's by ${String(skewMs)} ms: harmless to Malote, which trusts only the database's, but not to your logs`,
        'synchronise this machine with NTP',
      ),
    ]
  },
}
