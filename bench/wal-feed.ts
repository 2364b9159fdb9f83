// What a feed from PostgreSQL's log would cost and give beside the table and its relay: the figures of
// docs/decisions/0014-no-feed-from-the-log.md. Run it as `node scripts/dev.mjs exec node --conditions=@malote/source bench/wal-feed.ts`.
// The feed here is the server's side alone, decoding into a no-op: a client of it would come on top.
import { createOutbox, createRelay, migrate } from '@malote/outbox-core'
import { startPostgres } from '@malote/testing/services/postgres'
import pg from 'pg'
import { spreadOf } from './harness/statistics.ts'

const clients = 8
const secondsOfWriting = 3
const backlog = 50_000
const rounds = 3
const body = JSON.stringify({ amount: 1000, account: 'account-17', text: 'x'.repeat(200) })

const server = await startPostgres({
  durable: true,
  settings: { wal_level: 'logical', max_wal_size: '8GB', shared_buffers: '512MB' },
})
const pool = new pg.Pool({ connectionString: server.url, max: clients + 4 })
await migrate(pool)
await pool.query('create table orders (id bigint generated always as identity primary key, amount int)')
await pool.query('create publication feed')
await pool.query(`select pg_create_logical_replication_slot('feed', 'pgoutput')`)
const outbox = createOutbox()

type Add = (client: pg.PoolClient) => Promise<unknown>
const table: Add = (client) =>
  outbox.add(client, { topic: 'orders', type: 't', orderingKey: 'account-17', payload: JSON.parse(body) as object })
const log: Add = (client) => client.query(`select pg_logical_emit_message(true, 'malote', $1)`, [body])
const nothing: Add = () => Promise.resolve()

/** Transactions per second that write one business row and one message. */
async function write(add: Add): Promise<number> {
  const endMs = performance.now() + secondsOfWriting * 1_000
  let done = 0
  const loop = async (): Promise<void> => {
    const client = await pool.connect()
    for (; performance.now() < endMs; done++) {
      await client.query('begin')
      await client.query('insert into orders (amount) values (1)')
      await add(client)
      await client.query('commit')
    }
    client.release()
  }
  await Promise.all(Array.from({ length: clients }, loop))
  return done / secondsOfWriting
}

const walSince = async (work: () => Promise<unknown>): Promise<number> => {
  const at = async (): Promise<string> =>
    String((await pool.query('select pg_current_wal_insert_lsn() as at')).rows[0].at)
  const before = await at()
  await work()
  return Number((await pool.query('select pg_wal_lsn_diff($1, $2)::float8 as n', [await at(), before])).rows[0].n)
}

const empty = (): Promise<unknown> =>
  pool.query(
    `select count(*) from pg_logical_slot_get_binary_changes('feed', null, null, 'proto_version', '1', 'publication_names', 'feed', 'messages', 'true')`,
  )

async function fill(inTable: boolean): Promise<void> {
  const sql = inTable
    ? `insert into malote.messages (topic, type, ordering_key, payload) select 'orders', 't', 'k' || n % 1000, $1 from generate_series(1, ${String(backlog)}) as n`
    : `select count(pg_logical_emit_message(true, 'malote', $1)) from generate_series(1, ${String(backlog)}) as n`
  await pool.query(sql, [body])
}

/** Messages per second out of the table, with a publisher that does nothing; they are settled. */
async function relayed(): Promise<number> {
  await fill(true)
  let taken = 0
  const publisher = {
    name: 'nothing',
    publish: (batch: readonly { id: string }[]) => {
      taken += batch.length
      return Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' as const })))
    },
    close: () => Promise.resolve(),
  }
  const relay = createRelay({ pool, publisher, onEvent: () => {}, durableSettles: true })
  const startMs = performance.now()
  await relay.runOnce()
  if (taken !== backlog) throw new Error(`${String(taken)} of ${String(backlog)}`)
  return backlog / ((performance.now() - startMs) / 1_000)
}

/** Messages per second that the server decodes. */
async function decoded(): Promise<number> {
  await fill(false)
  const startMs = performance.now()
  await empty()
  return backlog / ((performance.now() - startMs) / 1_000)
}

const samples: Record<string, number[]> = {}
const note = (name: string, value: number): void => void (samples[name] ??= []).push(value)
for (let round = 0; round < rounds; round++) {
  note('writes/s, business row alone', await write(nothing))
  note('writes/s, with add()', await write(table))
  await pool.query('truncate malote.messages')
  note('writes/s, with pg_logical_emit_message', await write(log))
  await empty()
  note('bytes of log per message, table: added and deleted', (await walSince(relayed)) / backlog)
  note('bytes of log per message, emitted', (await walSince(() => fill(false))) / backlog)
  await empty()
  note('messages/s out, relay on the table, settled', await relayed())
  note('messages/s out, decoded by the server', await decoded())
}
for (const [name, values] of Object.entries(samples)) {
  const { median, min, max } = spreadOf(values)
  console.log(`${name}: ${[median, min, max].map((value) => String(Math.round(value))).join(' / ')}`)
}
await pool.end()
await server.stop()
