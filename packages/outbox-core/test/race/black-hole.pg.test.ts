import { scaled } from '@malote/testing/slowness'
import { type TcpProxy, startTcpProxy } from '@malote/testing/tcp-proxy'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from '../relay-bench.ts'

let bench: RelayBench
let proxy: TcpProxy

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
  proxy = await startTcpProxy(Number(new URL(bench.database.url).port))
})
afterEach(async () => {
  proxy.accept()
  await bench.reset()
})
afterAll(async () => {
  await bench.database.drop()
  await proxy.close()
})

function relayBehindProxy(): StartedRelay {
  const connectionString = Object.assign(new URL(bench.urlAs.relay), { port: String(proxy.port) }).toString()
  return bench.relay({
    pool: bench.relayPool({ connectionString, max: 3 }),
    databaseTimeoutMs: 250,
    pollIntervalMs: 20,
    presence: false,
  })
}

describe('a network that accepts and does not answer', () => {
  // 0: no answer to the connecting. 1: none to the first query. Then the other two connections, the look at the schema, joining,
  // acquiring, and from about 20 on the reading, publishing and settling.
  it.each([0, 1, 2, 3, 5, 7, 9, 11, 13, 15, 16, 17, 18, 19, 20, 25, 30, 40])(
    'after %i answers stops the relay only for as long as it lasts',
    async (answers) => {
      const { relay, broker, observer } = relayBehindProxy()
      await bench.add(aMessage({ orderingKey: 'a' }))
      proxy.swallow(answers)
      relay.start()
      await observer.waitFor('database.disconnected')

      proxy.accept()
      await bench.add(aMessage({ orderingKey: 'a' }))

      await broker.received(2)
      await relay.stop()
    },
  )

  it('leaves no slot of the pool taken: it comes back after more attempts than the pool has', async () => {
    const { relay, broker, observer } = relayBehindProxy()
    proxy.swallow()
    relay.start()
    for (let failures = 1; failures <= 5; failures++) {
      await observer.waitFor('database.disconnected')
      observer.clear()
    }

    proxy.accept()
    await bench.add(aMessage())

    await broker.received(1)
  })

  it.each([0, 1, 2, 4, 8])('after %i answers does not keep stop() from ending', async (answers) => {
    const { relay } = relayBehindProxy()
    proxy.swallow(answers)
    relay.start()
    const startMs = performance.now()

    await relay.stop({ graceMs: 100 })

    expect(performance.now() - startMs).toBeLessThan(scaled(2_100))
  })
})

describe('a machine that vanishes', () => {
  // Without an end its lanes are nobody's for hours.
  const timeout = scaled(20_000)

  it(
    'in the middle of a transaction keeps its lanes from others no longer than its lease and its timeout',
    { timeout },
    async () => {
      const connectionString = Object.assign(new URL(bench.urlAs.relay), { port: String(proxy.port) }).toString()
      const pool = bench.relayPool({ connectionString, max: 3 })
      pool.on('connect', (client) => {
        const query = client.query.bind(client) as (...asked: unknown[]) => Promise<unknown>
        const vanishAfterTheWrite = async (...asked: unknown[]): Promise<unknown> => {
          const answer = await query(...asked)
          if (!(asked[0] as { text: string }).text.includes('fenced as materialized')) return answer
          proxy.swallow()
          proxy.silence()
          return answer
        }
        Object.assign(client, { query: vanishAfterTheWrite })
      })
      const vanishing = bench.relay({ pool, leaseMs: 500, databaseTimeoutMs: 500 })
      vanishing.broker.failWith(() => ({ kind: 'retryable', code: 'NO', message: 'not this time' }))
      vanishing.relay.start()
      const [id] = await bench.add(aMessage())
      await vanishing.observer.waitFor('database.disconnected')

      const { relay, broker } = bench.relay({ leaseMs: 500 })
      relay.start()

      expect((await broker.received(1)).map((message) => message.id)).toEqual([id])
    },
  )
})

describe('stop', () => {
  it('ends within the grace and two seconds though the database went silent in the middle of the work', async () => {
    const { relay, broker } = bench.relay({
      pool: bench.relayPool({
        connectionString: Object.assign(new URL(bench.urlAs.relay), { port: String(proxy.port) }).toString(),
      }),
    })
    relay.start()
    await bench.add(aMessage())
    await broker.received(1)
    proxy.swallow()
    const startMs = performance.now()

    await relay.stop({ graceMs: 100 })

    expect(performance.now() - startMs).toBeLessThan(scaled(2_100))
  })

  it('waits for a runOnce under way, which ends early and reports', async () => {
    const { relay, broker } = bench.relay({ batchSize: 1, concurrency: 1 })
    await bench.add(...Array.from({ length: 50 }, () => aMessage({ orderingKey: 'a' })))
    const arrived = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    broker.beforePublish(() => {
      arrived.resolve()
      return gate.promise
    })
    const once = relay.runOnce()
    await arrived.promise
    let isOver = false
    void once.then(() => (isOver = true))

    const stopped = relay.stop()
    gate.resolve()
    await stopped

    expect(isOver).toBe(true)
    expect(await once).toMatchObject({ published: 1 })
    expect(await bench.count('relays')).toBe(0)
    expect(await bench.count('messages')).toBe(49)
  })
})
