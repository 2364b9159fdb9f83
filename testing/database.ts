import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { HarnessError, preparing } from './harness-error.ts'

export interface TestDatabase {
  readonly url: string
  /** A new pool on the database; ended with it. */
  pool(config?: pg.PoolConfig): pg.Pool
  /**
   * The address for pools that a test gives to the code under test. With MALOTE_TEST_ROLES=1 (`npm run test:roles`) it is that of a new role
   * that has nothing but these grants, so that the test also shows that they suffice; otherwise it is `url`, unless `always`.
   */
  urlAs(grants: (role: string) => readonly string[], options?: { readonly always: boolean }): Promise<string>
  /** A new connected client; ended with the database. */
  client(config?: pg.ClientConfig): Promise<pg.Client>
  /**
   * Empties tables, for example `truncate('orders, accounts')`. A case that failed may have left a transaction open that holds them:
   * when they are not free within seconds, such sessions are ended. They must not hang the cases that follow.
   */
  truncate(tables: string): Promise<void>
  /** Ends every pool and client made here and drops the database. */
  drop(): Promise<void>
}

/** Makes an empty database of a random name on the server at `serverUrl`: one for each test file, so that none sees another's rows. */
export async function createTestDatabase(serverUrl: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`
  await administer(serverUrl, `create database ${name}`)
  const url = Object.assign(new URL(serverUrl), { pathname: `/${name}` }).toString()
  const pools: pg.Pool[] = []
  const clients: pg.Client[] = []
  const roles: string[] = []
  return {
    url,
    pool: (config) => {
      const pool = new pg.Pool({ connectionString: url, ...config })
      pool.on('error', () => {}) // Tests terminate backends on purpose; an idle client's end is no failure.
      pools.push(pool)
      return pool
    },
    urlAs: async (grants, options) => {
      if (process.env['MALOTE_TEST_ROLES'] !== '1' && options?.always !== true) return url
      const role = `role_${randomBytes(6).toString('hex')}`
      await administer(url, `create role ${role} login password 'p'`)
      roles.push(role)
      await connected(url, (client) => client.query(grants(role).join('\n'))) // On trial: no failure of the harness.
      return Object.assign(new URL(url), { username: role, password: 'p' }).toString()
    },
    client: async (config) => {
      const client = new pg.Client({ connectionString: url, ...config })
      client.on('error', () => {}) // As above.
      await preparing('connect to the database', () => client.connect())
      clients.push(client)
      return client
    },
    truncate: (tables) => truncate(url, tables),
    drop: async () => {
      const ended = Promise.allSettled([
        ...pools.filter((pool) => !pool.ended).map((pool) => pool.end()),
        ...clients.map((client) => client.end()),
      ])
      // A pool waits for the clients it has given out. A test that failed may never give one back: its run must end all the same.
      await Promise.race([ended, setTimeout(5_000, undefined, { ref: false })])
      await administer(serverUrl, `drop database ${name} with (force)`)
      for (const role of roles) await administer(serverUrl, `drop role ${role}`)
    },
  }
}

async function truncate(url: string, tables: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await preparing('connect to the database', () => client.connect())
  try {
    await client.query(`set lock_timeout = '1s'`)
    for (let left = 60; !(await isTruncated(client, tables)); left--) {
      if (left === 0) throw new HarnessError(`${tables} cannot be emptied: sessions of an earlier case hold them`)
      await client.query(endLeftOvers) // Whoever waited for one of these may hold the tables next.
    }
  } finally {
    await client.end()
  }
}

async function isTruncated(client: pg.Client, tables: string): Promise<boolean> {
  try {
    await client.query(`truncate ${tables}`)
    return true
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === lockNotAvailable) return false
    throw error
  }
}

const lockNotAvailable = '55P03'

/** Who is about to roll back has not been idle for long. */
const endLeftOvers = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and state like 'idle in transaction%' and state_change < clock_timestamp() - interval '2s'`

const administer = (serverUrl: string, statement: string): Promise<void> =>
  preparing(statement, () =>
    connected(serverUrl, async (client) => {
      for (let left = 5; !(await isDone(client, statement)); left--)
        if (left === 0) throw new HarnessError(`somebody is still connected: ${statement}`)
    }),
  )

async function connected(serverUrl: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

/** False while somebody is connected: PostgreSQL waits five seconds for sessions that it has told to end, which is little on a busy machine. */
async function isDone(client: pg.Client, statement: string): Promise<boolean> {
  try {
    await client.query(statement)
    return true
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === objectInUse) return false
    throw error
  }
}

const objectInUse = '55006'
