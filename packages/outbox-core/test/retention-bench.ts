import { randomBytes } from 'node:crypto'
import { grantStatements, type RelayOptions } from '../src/index.ts'
import { createRelayBench, type RelayBench, type StartedRelay } from './relay-bench.ts'

/** A bench whose relays have the documented rights of a relay, and no others. */
export interface RetentionBench {
  readonly bench: RelayBench
  /** Of the relays. */
  readonly role: string
  /** Not started. */
  relay(options?: Partial<RelayOptions>): StartedRelay
  /** The days of the archive. */
  partitions(): Promise<string[]>
  reset(): Promise<void>
  close(): Promise<void>
}

export async function createRetentionBench(postgresUrl: string): Promise<RetentionBench> {
  const bench = await createRelayBench(postgresUrl)
  const { pool, database } = bench
  const role = `relay_of_retention_${randomBytes(6).toString('hex')}`
  await pool.query(`create role ${role} login password 'p'`)
  await pool.query(grantStatements(role, 'relay').join('\n'))
  const partitions = async (): Promise<string[]> => {
    const { rows } = await pool.query(
      `select relname from pg_inherits join pg_class on oid = inhrelid
       where inhparent = 'malote.archived_messages'::regclass and relname <> 'archived_messages_default' order by 1`,
    )
    return rows.map((row) => String(row.relname))
  }
  return {
    bench,
    role,
    partitions,
    relay: (options = {}) => {
      const url = Object.assign(new URL(database.url), { username: role, password: 'p' }).toString()
      return bench.relay({ pool: bench.relayPool({ connectionString: url }), ...options })
    },
    reset: async () => {
      await bench.reset()
      for (const name of await partitions()) await pool.query(`drop table malote.${name}`)
      await pool.query('truncate malote.archived_messages, malote.maintenance, malote.operator_actions')
    },
    close: async () => {
      await pool.query(`drop owned by ${role}; drop role ${role}`)
      await database.drop()
    },
  }
}
