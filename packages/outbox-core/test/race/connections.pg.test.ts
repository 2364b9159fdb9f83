import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openConnections } from '../../src/postgres/connections.ts'
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
        pool: bench.relayPool({ application_name: name }),
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
    const { relay, broker, observer } = bench.relay({ pool: bench.relayPool({ application_name: name }) })
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
  })
})

describe('a server that ends the session in the moment it begins', () => {
  it('does not end the process: the pool has let go of the client and nobody else listens yet', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(readyAndGone()))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const pool = new pg.Pool({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      user: 'x',
      database: 'x',
    })
    pool.on('error', () => {})

    await expect(openConnections(pool, systemClock, () => {})).rejects.toThrow('connection')

    server.close()
    await pool.end()
  })
})

/** Authenticated, ready for a query, and "terminating connection", in one packet. */
function readyAndGone(): Buffer {
  const fatal = Buffer.from('SFATAL\0C57P01\0Mterminating connection\0\0')
  const length = Buffer.alloc(4)
  length.writeInt32BE(fatal.length + 4)
  return Buffer.concat([Buffer.from('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05IE', 'latin1'), length, fatal])
}

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
