import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createHeldKeys } from '../../src/index.ts'
import { arrayLiteral, elements, textsOf } from '../../src/postgres/array-literal.ts'
import { eventually } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

describe('more blocked keys than a read names', () => {
  const keys = 5_000

  // With the default, the first read brings a crowd of them; with 500 each read brings a few.
  it.each([500, 10_000])(
    'publish nothing, keep nobody, and go on in order when they are released (room for %i)',
    async (maxBufferedMessages) => {
      const { pool } = bench
      await pool.query(
        `insert into malote.held_keys (topic, ordering_key) select 'orders', 'held ' || n from generate_series(1, $1::integer) n`,
        [keys],
      )
      await pool.query(
        `insert into malote.messages (topic, type, ordering_key, payload)
       select 'orders', 'x', 'held ' || n, place from generate_series(1, 2) place, generate_series(1, $1::integer) n`,
        [keys],
      )
      const { relay, broker, observer } = bench.relay({ maxBufferedMessages })
      relay.start()
      await observer.waitFor('lanes.acquired')

      await bench.add(...Array.from({ length: 500 }, (_, n) => aMessage({ orderingKey: `free ${String(n % 50)}` })))
      await broker.received(500)
      expect(broker.accepted.filter(({ orderingKey }) => orderingKey?.startsWith('held') === true)).toEqual([])
      const released = ['held 7', 'held 4999']
      for (const orderingKey of released) await createHeldKeys({ db: pool }).release('orders', orderingKey)

      await broker.received(504)
      const bodies = Object.fromEntries(
        released.map((key) => [
          key,
          broker.accepted.filter(({ orderingKey }) => orderingKey === key).map(({ body }) => body),
        ]),
      )
      expect(bodies).toEqual({ 'held 7': ['1', '2'], 'held 4999': ['1', '2'] })
      await eventually(async () => expect(await bench.count('messages')).toBe(keys * 2 - 4))
      expect(observer.of('rescan.found-missed')).toEqual([])
    },
  )
})

it('holds and releases keys whatever their names: they go to the database and back as it writes them', async () => {
  const names = [
    'a","b',
    'back\\slash',
    '\\"',
    '{}',
    '{',
    'NULL',
    'comma,',
    ' blank ',
    'line\nbreak',
    'tab\t',
    'é ✓',
    "quote's",
  ]
  const streams = names.map((name) => `or,"d\\ers\n${name}`)
  const asWritten = arrayLiteral([elements(streams)])
  const { rows } = await bench.pool.query('select $1::text[] as read, $1::text[]::text as written', [asWritten])
  expect([rows[0].read, textsOf(rows[0].written)]).toEqual([streams, streams])

  const heldKeys = createHeldKeys({ db: bench.pool })
  for (const name of names) await heldKeys.hold('or,"d\\ers', name, { by: 'ada', reason: 'a test' })
  const { relay, broker, observer } = bench.relay()
  relay.start()
  await observer.waitFor('lanes.acquired')

  const message = (orderingKey: string) => aMessage({ topic: 'or,"d\\ers', orderingKey })
  await bench.add(...names.map(message), ...['a', 'b', 'back', 'comma'].map(message))
  await broker.received(4)
  expect(new Set(broker.accepted.map(({ orderingKey }) => orderingKey))).toEqual(new Set(['a', 'b', 'back', 'comma']))

  for (const name of names) await heldKeys.release('or,"d\\ers', name)
  await broker.received(4 + names.length)
  expect(new Set(broker.accepted.map(({ orderingKey }) => orderingKey))).toEqual(
    new Set([...names, 'a', 'b', 'back', 'comma']),
  )
})
