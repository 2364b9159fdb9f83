import { type PooledUrl, startPgbouncer } from '@malote/testing/services/pgbouncer'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createOutbox } from '../../src/index.ts'
import { createMemoryBroker, eventually } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

/** Null where there is none and none can be installed: the tests are then listed as not run. */
const pooler: PooledUrl | null = await startPgbouncer(inject('postgresUrl')).catch((error: unknown) => {
  if (process.env['CI'] === 'true') throw error
  console.warn(`tests through a pooler are not run: ${String(error)}`)
  return null
})
let bench: RelayBench
const pools: pg.Pool[] = []
const cleanups: (() => Promise<void>)[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
  await bench.reset()
  await Promise.all(pools.splice(0).map((pool) => pool.end()))
})
afterAll(async () => {
  await pooler?.close()
  await bench.database.drop()
})

function throughPooler({ url } = bench.database): pg.Pool {
  const { port } = new URL((pooler as PooledUrl).url)
  const pool = new pg.Pool({ connectionString: Object.assign(new URL(url), { port }).toString() })
  pool.on('error', () => {}) // The pooler ends sessions when it stops.
  pools.push(pool)
  return pool
}

/** Adds messages of five keys, each key numbered from 0, through the pooler as well. */
async function addNumbered(count: number): Promise<void> {
  const client = await throughPooler().connect()
  for (let n = 0; n < count; n++) {
    await client.query('begin')
    await createOutbox().add(client, aMessage({ orderingKey: `k${String(n % 5)}`, payload: Math.floor(n / 5) }))
    await client.query('commit')
  }
  client.release()
}

/** The backends that answered when connections of the pool asked for theirs. */
function rememberBackends(pool: pg.Pool): ReadonlySet<number> {
  const pids = new Set<number>()
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...values: unknown[]) => Promise<pg.QueryResult>
    client.query = (async (...values: unknown[]) => {
      const result = await query(...values)
      if (JSON.stringify(values[0]).includes('pg_backend_pid')) pids.add(Number(result.rows[0]?.pid))
      return result
    }) as never
  })
  return pids
}

/** Begins a transaction on one of the backends: those it is given meanwhile are kept busy, so that the pooler gives another. */
async function beginOn(pids: ReadonlySet<number>): Promise<pg.PoolClient> {
  const others: pg.PoolClient[] = []
  try {
    for (;;) {
      const client = await throughPooler().connect()
      await client.query('begin')
      const { rows } = await client.query('select pg_backend_pid() as pid')
      if (pids.has(Number(rows[0].pid))) return client
      others.push(client)
    }
  } finally {
    for (const other of others) {
      await other.query('rollback')
      other.release()
    }
  }
}

describe.skipIf(pooler === null)('through a pooler in transaction mode', () => {
  it('two relays without doorbell and presence publish everything once, each key in order', async () => {
    const broker = createMemoryBroker()
    const options = { doorbell: false, presence: false, pollIntervalMs: 20, leaseMs: 3_000, publisher: broker }
    const relays = [1, 2].map(() => bench.relay({ ...options, pool: throughPooler() }))
    for (const { relay } of relays) relay.start()
    await Promise.all(relays.map(({ observer }) => observer.waitFor('lanes.acquired')))

    await addNumbered(200)
    await eventually(async () => expect(await bench.count('messages')).toBe(0), { patienceMs: 20_000 })

    const numbersOf = (key: string): number[] =>
      broker.accepted.filter(({ orderingKey }) => orderingKey === key).map(({ body }) => Number(body))
    for (const key of ['k0', 'k1', 'k2', 'k3', 'k4'])
      expect(numbersOf(key)).toEqual(Array.from({ length: 40 }, (_, n) => n))
  })

  it('the floor waits for a writer on a backend that the relay had before', async () => {
    const pool = throughPooler()
    const had = rememberBackends(pool)
    const options = { doorbell: false, presence: false, pollIntervalMs: 20, rescanIntervalMs: 200 }
    const { relay, broker, observer } = bench.relay({ ...options, pool })
    relay.start()
    await observer.waitFor('lanes.acquired')
    const writer = await beginOn(had)
    await createOutbox().add(writer, aMessage())
    for (let received = 1; received <= 10; received++) {
      await bench.add(aMessage())
      await broker.received(received)
    }

    await writer.query('commit')
    writer.release()

    expect(await broker.received(11)).toHaveLength(11)
    expect(observer.of('rescan.found-missed')).toEqual([]) // Not the net: the floor.
  })

  it('a relay that gave no notice is replaced when its lease runs out', async () => {
    const options = { doorbell: false, presence: false, pollIntervalMs: 20, leaseMs: 1_000 }
    await bench.pool.query(
      `insert into malote.relays (id, name, lease_until) values (gen_random_uuid(), 'gone', clock_timestamp() + interval '1 s')`,
    )
    await bench.pool.query('update malote.lanes set owner = (select id from malote.relays)')
    await bench.add(aMessage({ orderingKey: 'k' }))
    const { relay, broker } = bench.relay({ ...options, pool: throughPooler() })
    relay.start()

    expect(await broker.received(1)).toHaveLength(1)
    expect(await bench.count('relays')).toBe(1)
  })

  it('a relay that was not told finds the doorbell dead, polls, and leaves no setting behind', async () => {
    const { relay, broker, observer } = bench.relay({ pool: throughPooler(), pollIntervalMs: 20 })
    relay.start()
    await observer.waitFor('doorbell.unavailable')

    await addNumbered(10)
    await broker.received(10)

    const shared = throughPooler()
    const settings = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const { rows } = await shared.query(`select current_setting('enable_seqscan') as seqscan, pg_sleep(0.05)`)
        return rows[0].seqscan as string
      }),
    )
    expect(new Set(settings)).toEqual(new Set(['on']))
  })

  it('the defaults of a role change nothing: each statement brings its isolation level, its timeouts and its notations', async () => {
    const other = await createRelayBench(inject('postgresUrl'))
    const { database, pool } = other
    await pool.query(`create table settings (isolation text, timeouts text);
      create function note_settings() returns trigger language plpgsql as $$ begin
        insert into settings select current_setting('transaction_isolation'),
          current_setting('statement_timeout') || ' ' || current_setting('lock_timeout');
        return null;
      end $$;
      create trigger note_settings after delete or update on malote.messages execute function note_settings()`)
    const defaults = {
      default_transaction_isolation: 'serializable',
      default_transaction_read_only: 'on',
      statement_timeout: 300,
      lock_timeout: 100,
      bytea_output: 'escape',
    }
    await other.add(aMessage({ payload: new Uint8Array([0, 255]) }), aMessage({ topic: 'again' }))
    for (const [name, value] of Object.entries(defaults))
      await pool.query(`alter database ${new URL(database.url).pathname.slice(1)} set ${name} = '${String(value)}'`)
    const { relay, broker, observer } = other.relay({ pool: throughPooler(database), pollIntervalMs: 20 })
    cleanups.push(async () => {
      await relay.stop({ graceMs: 100 })
      await database.drop()
    })
    broker.failWith(({ topic, attempt }) =>
      topic === 'again' && attempt === 1 ? { kind: 'retryable', code: 'NO', message: 'no' } : null,
    )
    const locking = await database.client()
    await locking.query('begin read write')
    await locking.query('lock table malote.messages in share mode')

    relay.start()
    const lost = observer.waitFor('database.disconnected').then(
      ({ error }) => error,
      () => new Promise(() => {}), // It never was.
    )
    const waiting = `select from pg_locks where not granted
      and database = (select oid from pg_database where datname = current_database()) and clock_timestamp() - waitstart > '600 ms'`
    const hasWaited = eventually(async () => expect((await pool.query(waiting)).rows).not.toEqual([])).then(
      () => 'waited for longer than the timeouts',
      (error: unknown) => error,
    )
    // Whatever comes of it, nobody may hang behind the lock.
    const ended = await Promise.race([hasWaited, lost])
    await locking.query('commit')

    expect(ended).toBe('waited for longer than the timeouts')
    await eventually(async () => expect(await other.count('messages')).toBe(0))

    expect(broker.accepted.map(({ body }) => body)).toEqual([Buffer.from([0, 255]), '{"amount":1000}'])
    expect(observer.of('lanes.lost')).toEqual([])
    const seen = await pool.query('select distinct isolation, timeouts from settings')
    expect(seen.rows).toEqual([{ isolation: 'read committed', timeouts: '27s 0' }])
  })
})
