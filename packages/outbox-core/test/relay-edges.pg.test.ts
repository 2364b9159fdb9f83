import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createOutbox } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

describe('transactions', () => {
  it('a rolled-back transaction leaves nothing to publish', async () => {
    const { broker, relay } = bench.relay()
    relay.start()
    const client = await bench.database.client()
    await client.query('begin')
    await createOutbox().addAll(client, [aMessage({ orderingKey: 'a' }), aMessage()])
    await client.query('rollback')

    const ids = await bench.add(aMessage({ orderingKey: 'a' }))
    await broker.received(1)

    expect(broker.accepted.map(({ id }) => id)).toEqual(ids)
  })
})

describe('scheduled messages', () => {
  it('are published when due, in the order of their time and of their adding', async () => {
    const { broker, relay } = bench.relay()
    const at = new Date(Date.now() + 400)
    const ids = await bench.add(
      aMessage({ orderingKey: 'a', availableAt: new Date(at.getTime() + 50) }),
      aMessage({ orderingKey: 'a', availableAt: at, payload: new Uint8Array([0, 255]) }),
      aMessage({ orderingKey: 'a', availableAt: at }),
    )
    relay.start()

    await broker.received(3)

    expect(broker.accepted.map(({ id }) => id)).toEqual([ids[1], ids[2], ids[0]])
    expect(Date.now()).toBeGreaterThanOrEqual(at.getTime() + 50)
    expect(await bench.count('scheduled_messages')).toBe(0)
  })

  it('are moved once, however many relays look', async () => {
    const relays = [1, 2, 3].map(() => bench.relay())
    await bench.add(
      ...Array.from({ length: 2_500 }, (_, n) =>
        aMessage({ delayMs: 200 + (n % 7), orderingKey: `k${String(n % 50)}` }),
      ),
    )
    for (const { relay } of relays) relay.start()

    await eventually(() => expect(relays.reduce((sum, { broker }) => sum + broker.accepted.length, 0)).toBe(2_500))
    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    expect(relays.reduce((sum, { broker }) => sum + broker.accepted.length, 0)).toBe(2_500)
  })

  it('of a far future do not keep runOnce', async () => {
    await bench.add(aMessage({ delayMs: 60_000 }), aMessage())

    expect(await bench.relay().relay.runOnce()).toMatchObject({ published: 1 })
    expect(await bench.count('scheduled_messages')).toBe(1)
  })
})

describe('runOnce', () => {
  it('comes back when the broker is out of reach, with nothing spent', async () => {
    await bench.add(aMessage())
    const { broker, relay } = bench.relay()
    broker.goDown()

    expect(await relay.runOnce()).toEqual({ published: 0, retried: 0, deadLettered: 0, isBrokerOut: true })
    broker.goUp()

    expect(await relay.runOnce()).toMatchObject({ published: 1, isBrokerOut: false })
    expect(broker.accepted).toMatchObject([{ attempt: 1 }])
  })

  it('leaves the lanes of a live relay to it', async () => {
    const other = bench.relay()
    other.relay.start()
    await other.observer.waitFor('lanes.acquired')
    await bench.add(...Array.from({ length: 100 }, () => aMessage()))

    const { published } = await bench.relay().relay.runOnce()

    await other.broker.received(100 - published)
    await eventually(async () => expect(await bench.count('messages')).toBe(0))
  })
})

describe('a publish', () => {
  it('that takes too long is aborted, what was accepted by then is settled, and nobody pays', async () => {
    const ids = await bench.add(...[1, 2, 3].map(() => aMessage()))
    const { relay } = bench.relay({
      publishTimeoutMs: 50,
      maxAttempts: 1,
      publisher: {
        name: 'slow',
        close: () => Promise.resolve(),
        publish: async (batch, signal) => {
          if (batch.length === 3) await new Promise((resolve) => signal.addEventListener('abort', resolve))
          return batch.map(({ id }) =>
            batch.length < 3 || id === ids[0]
              ? { id, status: 'accepted' }
              : { id, status: 'failed', failure: { kind: 'retryable', code: 'ABORTED', message: '' } },
          )
        },
      },
    })
    relay.start()

    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    expect(await bench.count('dead_letters')).toBe(0)
  })

  it('is never larger than asked, nor more at a time', async () => {
    await bench.add(
      ...Array.from({ length: 300 }, (_, n) => aMessage({ orderingKey: n % 2 === 0 ? `k${String(n % 10)}` : 'hot' })),
    )
    const { broker, relay } = bench.relay({ batchSize: 7, concurrency: 3 })
    let underWay = 0
    let most = 0
    broker.beforePublish(async () => {
      most = Math.max(most, ++underWay)
      await new Promise((resolve) => setTimeout(resolve, 1))
      underWay--
    })

    await relay.runOnce()

    expect(broker.accepted).toHaveLength(300)
    expect(Math.max(...broker.batches.map(({ length }) => length))).toBe(7)
    expect(most).toBe(3)
  })

  it('waits for a broker that asks for more time than the backoff', async () => {
    await bench.add(aMessage())
    const { broker, relay, observer } = bench.relay({ backoff: () => 1 })
    broker.failWith(({ attempt }) =>
      attempt === 1 ? { kind: 'retryable', code: 'SLOW', message: '', retryAfterMs: 300 } : null,
    )
    relay.start()
    const startMs = performance.now()

    expect(await observer.waitFor('message.retry-scheduled')).toMatchObject({ retryInMs: 300, code: 'SLOW' })
    await broker.received(1)

    expect(performance.now() - startMs).toBeGreaterThan(290)
  })
})

describe('memory', () => {
  it.each([
    ['ready', 'null'],
    ['waiting', 'now()'],
  ])(
    'holds no more bytes of %s messages than allowed, but for one message of each lane',
    async (_name, availableAt) => {
      await bench.pool.query(
        `insert into malote.messages (topic, type, ordering_key, payload, content_type, available_at)
       select 't', 'x', ${availableAt === 'null' ? `'k'` : 'null'}, string_agg(md5(n::text || m::text), ''), 'text/plain', ${availableAt}
       from generate_series(1, 60) n, generate_series(1, 3000) m group by n`,
      )
      const { broker, relay } = bench.relay({ maxBufferedBytes: 300_000, concurrency: 1 })
      let most = 0
      broker.beforePublish((batch) => {
        most = Math.max(
          most,
          batch.reduce((sum, { body }) => sum + body.length, 0),
        )
      })

      await relay.runOnce()

      expect(broker.accepted).toHaveLength(60)
      expect(most).toBeLessThan(500_000)
    },
  )
})

describe('the net under the floor', () => {
  it('publishes what appears below it against the rules, and says so', async () => {
    const { broker, relay, observer } = bench.relay({ rescanIntervalMs: 100, pollIntervalMs: 50 })
    relay.start()
    await bench.add(...Array.from({ length: 300 }, () => aMessage()))
    await broker.received(300)
    await eventually(async () => expect(await bench.count('messages')).toBe(0))
    // Each is another read: by the third the floor has passed what the first one showed.
    for (let received = 301; received <= 303; received++) {
      await bench.add(aMessage())
      await broker.received(received)
    }

    await bench.pool.query(
      `insert into malote.messages (seq, topic, type, payload) overriding system value values (1, 't', 'x', '{}')`,
    )

    expect(await observer.waitFor('rescan.found-missed')).toMatchObject({ messages: 1 })
    await broker.received(304)
  })
})
