import { type PooledUrl, startPgbouncer } from '@malote/testing/services/pgbouncer'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createOutbox } from '../../src/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

const poolers: PooledUrl[] = []
/** Null where there is none and none can be installed: the tests are then listed as not run. */
const start = (mode: 'session' | 'statement'): Promise<PooledUrl | null> =>
  startPgbouncer(inject('postgresUrl'), mode).then(
    (pooler) => (poolers.push(pooler), pooler),
    (error: unknown) => {
      if (process.env['CI'] === 'true') throw error
      console.warn(`tests through a pooler are not run: ${String(error)}`)
      return null
    },
  )
const [session, statement] = await Promise.all([start('session'), start('statement')])
let bench: RelayBench
const pools: pg.Pool[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  await bench.reset()
  await Promise.all(pools.splice(0).map((pool) => pool.end()))
})
afterAll(async () => {
  await Promise.all(poolers.map((pooler) => pooler.close()))
  await bench.database.drop()
})

function through(pooler: PooledUrl | null): pg.Pool {
  const { port } = new URL((pooler as PooledUrl).url)
  const pool = new pg.Pool({ connectionString: Object.assign(new URL(bench.database.url), { port }).toString() })
  pool.on('error', () => {}) // The pooler ends sessions when it stops.
  pools.push(pool)
  return pool
}

it.skipIf(session === null)('through a pooler in session mode all works, doorbell and presence too', async () => {
  const { relay, broker, observer } = bench.relay({ pool: through(session), pollIntervalMs: 600_000 })
  relay.start()
  await observer.waitFor('lanes.acquired')
  const client = await through(session).connect()
  await client.query('begin')
  await createOutbox().add(client, aMessage())
  await client.query('commit')
  client.release()

  await broker.received(1) // The doorbell rang: nobody polls for ten minutes.
  const { rows } = await bench.pool.query('select presence_key from malote.relays')
  expect(rows).toEqual([{ presence_key: expect.anything() }])
  expect(observer.events.map(({ type }) => type)).not.toContain('doorbell.unavailable')
})

describe.skipIf(statement === null)('through a pooler in statement mode', () => {
  it('a writer cannot begin a transaction', async () => {
    await expect(through(statement).query('begin')).rejects.toThrow(/not allowed/)
  })

  it.each([{}, { doorbell: false, presence: false }])(
    'a relay (%j) says at once that it cannot work',
    async (options) => {
      const { relay, broker } = bench.relay({ pool: through(statement), ...options })
      await bench.add(aMessage())

      await expect(relay.runOnce()).rejects.toThrow(/transaction/)
      expect(broker.accepted).toEqual([])
      expect(await bench.count('messages')).toBe(1)
    },
  )
})
