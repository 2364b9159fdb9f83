import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

/** The relay's backends, oldest first: reader, settler, control. */
const backends = async (name: string): Promise<number[]> =>
  (
    await bench.pool.query('select pid from pg_stat_activity where application_name = $1 order by backend_start', [
      name,
    ])
  ).rows.map((row) => row.pid)

describe('a relay whose connection is cut', () => {
  it.each(['reader', 'settler', 'control'] as const)(
    '(the %s) forgets everything and starts again (race 17)',
    async (which) => {
      const name = `cut-${which}`
      const { relay, broker, observer } = bench.relay({
        pool: bench.database.pool({ application_name: name }),
        pollIntervalMs: 50,
      })
      relay.start()
      await bench.add(...Array.from({ length: 50 }, (_, n) => aMessage({ orderingKey: `k${String(n % 3)}` })))
      await broker.received(50)
      const pids = await backends(name)
      expect(pids).toHaveLength(3)

      await bench.pool.query('select pg_terminate_backend($1)', [pids[['reader', 'settler', 'control'].indexOf(which)]])
      await observer.waitFor('database.reconnected')
      await bench.add(aMessage())
      await observer.waitFor(
        'batch.published',
        (event) =>
          observer.events.indexOf(event) > observer.events.findIndex(({ type }) => type === 'database.reconnected'),
      )

      await eventually(async () => expect(await backends(name)).toHaveLength(3))
      expect(observer.of('lanes.lost')).toMatchObject([{ reason: 'connection-lost' }])
    },
  )

  it('ten times in a row opens no more connections than it closes', async () => {
    const name = 'cut-often'
    const { relay, broker, observer } = bench.relay({ pool: bench.database.pool({ application_name: name }) })
    relay.start()
    for (let round = 1; round <= 10; round++) {
      await bench.add(aMessage())
      await broker.received(round)
      observer.clear()
      await bench.pool.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
        name,
      ])
      await observer.waitFor('database.reconnected')
    }

    await eventually(async () => expect(await backends(name)).toHaveLength(3))
    await relay.stop()
    await eventually(async () => expect(await backends(name)).toHaveLength(0))
  }, 60_000)
})

describe('stopping', () => {
  it('waits for what is in flight, settles it and frees the lanes', async () => {
    const { relay, broker } = bench.relay()
    const arrived = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    broker.beforePublish(() => {
      arrived.resolve()
      return gate.promise
    })
    relay.start()
    await bench.add(aMessage())
    await arrived.promise

    const stopped = relay.stop()
    gate.resolve()
    await stopped

    expect(broker.accepted).toHaveLength(1)
    expect(await bench.count('messages')).toBe(0)
    expect(await bench.count('relays')).toBe(0)
  })

  it('abandons after the grace what does not end, which comes again with its attempts intact', async () => {
    const first = bench.relay()
    const arrived = Promise.withResolvers<void>()
    first.broker.beforePublish((_batch, signal) => {
      arrived.resolve()
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    first.relay.start()
    await bench.add(aMessage())
    await arrived.promise
    await first.relay.stop({ graceMs: 10 })

    const second = bench.relay()
    await second.relay.runOnce()

    expect(second.broker.accepted).toMatchObject([{ attempt: 1 }])
  })

  it('ends soon though the publisher never answers', async () => {
    const { relay, broker } = bench.relay()
    const arrived = Promise.withResolvers<void>()
    broker.beforePublish(() => {
      arrived.resolve()
      return new Promise(() => {})
    })
    relay.start()
    await bench.add(aMessage())
    await arrived.promise

    await relay.stop({ graceMs: 10 })

    expect(await bench.count('messages')).toBe(1)
    expect(await bench.count('relays')).toBe(0)
  })
})
