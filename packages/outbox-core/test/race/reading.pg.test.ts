import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { textsOf } from '../../src/postgres/array-literal.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { eventually } from '../../src/testing/index.ts'
import { createRelayBench, type RelayBench } from '../relay-bench.ts'
import { createSteppedRelay, insert, type SteppedRelay } from './stepped-relay.ts'

let bench: RelayBench
const stepped: SteppedRelay[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  for (const relay of stepped.splice(0)) relay.connections.destroy()
  await bench.reset()
})
afterAll(() => bench.database.drop())

async function aRelay(acquire = 64): Promise<SteppedRelay> {
  const relay = await createSteppedRelay(bench.as.relay, { acquire })
  stepped.push(relay)
  return relay
}

describe('a read that the server cancels because it takes too long', () => {
  /** SQLSTATE 57014, as `statement_timeout` gives it. */
  async function cancelledRead(relay: SteppedRelay): ReturnType<SteppedRelay['reader']['read']> {
    const { pid } = relay.connections.reader
    const other = await bench.pool.connect()
    await other.query('begin; lock table malote.messages in access exclusive mode')
    const reading = relay.reader.read()
    await eventually(async () => {
      const { rows } = await bench.pool.query('select from pg_locks where not granted and pid = $1', [pid])
      expect(rows).not.toEqual([])
    })
    await other.query('select pg_cancel_backend($1)', [pid])
    const report = await reading
    await other.query('commit')
    other.release()
    return report
  }

  it('is sent again for less, which grows again, and skips nothing', async () => {
    const payloads = Array.from({ length: 300 }, (_, n) => String(n))
    for (const payload of payloads) await insert(bench.pool, payload, 'k')
    const relay = await aRelay()
    await relay.reader.barrier()
    await relay.reader.barrier()

    for (let round = 0; round < 3; round++) expect(await cancelledRead(relay)).toEqual({ messages: 0, isPartial: true })

    const batches: string[][] = []
    while (batches.flat().length < payloads.length) batches.push(await relay.step())
    expect(batches.flat()).toEqual(payloads)
    expect(batches.slice(0, 3).map(({ length }) => length)).toEqual([8, 32, 128])
  })
})

describe('a body that ends each relay which reads it', () => {
  const trialIds = async (relay: SteppedRelay): Promise<unknown> =>
    (await bench.pool.query('select trial_ids from malote.relays where id = $1', [relay.relayId])).rows[0]?.trial_ids

  async function expire(relay: SteppedRelay): Promise<void> {
    relay.connections.destroy()
    await bench.pool.query(`update malote.relays set lease_until = now() - interval '1 s' where id = $1`, [
      relay.relayId,
    ])
    const reaper = await aRelay(0)
    expect(await reaper.membership.reap()).toBe(1)
    await reaper.membership.leave()
  }

  it('is found: innocent messages pass it, it is named before it is read, and in the end not read', async () => {
    await insert(bench.pool, 'x'.repeat(6 * 1024 * 1024), 'large')
    for (let n = 1; n <= 50; n++) await insert(bench.pool, String(n))
    // A key's lane is the same in each topic.
    await bench.pool.query(
      `insert into malote.messages (topic, type, ordering_key, payload) values ('other', 'x', 'large', 'behind it')`,
    )
    const { rows } = await bench.pool.query(
      `select first.id, (select count(*)::integer from malote.messages as m where m.lane <> first.lane) as others
       from malote.messages as first order by seq limit 1`,
    )
    const { id, others } = rows[0] as { id: string; others: number }
    // Two relays died before, of whatever.
    await bench.pool.query('update malote.lanes set crashes = 2')

    for (let deaths = 0; deaths < 3; deaths++) {
      const relay = await aRelay()
      let published = 0
      for (let round = 0; round < 3 && (await trialIds(relay)) === null; round++) {
        relay.onRead(async (moment, text) => {
          if (moment === 'before' && text.includes('limit l.lim') && (await trialIds(relay)) !== null)
            throw new Error('the process dies')
        })
        published += await relay.step().then(
          (bodies) => bodies.length,
          () => 0,
        )
      }
      expect(await trialIds(relay)).toEqual([id])
      expect(published).toBe(deaths === 0 ? others : 0)
      await expire(relay)
    }
    const relay = await aRelay()
    // After two barriers a read may raise the floor: what it leaves out without saying so is left for good.
    await relay.reader.barrier()
    await relay.reader.barrier()
    const batches: (readonly BufferedMessage[])[] = []
    for (let round = 0; round < 2; round++) {
      await relay.reader.read()
      for (let batch = relay.backlog.take(10); batch.length > 0; batch = relay.backlog.take(10)) {
        batches.push(batch)
        relay.backlog.end(batch, { failed: [], returned: [] })
        if (batch[0]?.message.id !== id) relay.settler.published(batch)
      }
      await relay.settler.idle()
    }

    const [withId, withoutId] = [true, false].map((isWith) =>
      batches.filter((batch) => batch.some(({ message }) => message.id === id) === isWith),
    )
    expect(withId).toMatchObject([[{ bytes: 0, maxTogether: 1, diedAlone: true, message: { attempt: 4 } }]])
    expect(withoutId?.flat()).toHaveLength(51 - others)
    expect((await bench.pool.query('select id from malote.messages')).rows).toEqual([{ id }])
  })
})

it('leaves a crowd of held keys out of the first read of a lane, and names none when the floor is past them', async () => {
  const { pool } = bench
  const keys = `select 'held ' || n from generate_series(1, 2500) as n`
  await pool.query(`insert into malote.held_keys (topic, ordering_key) select 't', key from (${keys}) as held (key)`)
  await pool.query(
    `insert into malote.messages (topic, type, ordering_key, payload) select 't', 'x', key, '{}' from (${keys}) as held (key)`,
  )
  await insert(pool, 'free')
  const relay = await aRelay()
  const named: number[] = []
  relay.onRead((moment, text, values = []) => {
    if (moment === 'before' && text.includes('limit l.lim')) named.push(textsOf(String(values[5])).length)
    return Promise.resolve()
  })
  await relay.reader.barrier()
  await relay.reader.barrier()

  expect(await relay.reader.read()).toMatchObject({ messages: 1 })
  expect(await relay.reader.read()).toMatchObject({ messages: 0 })

  expect(named).toEqual([2_500, 0])
})

it('looks in few lanes first for something to try a destination with, and finds it wherever it lies', async () => {
  await bench.pool.query(
    `insert into malote.messages (topic, type, ordering_key, payload)
     select 'everywhere', 'x', n::text, '{}' from generate_series(1, 2000) as n`,
  )
  const { rows } = await bench.pool.query('select lane from malote.messages group by lane order by lane')
  const everyLane = rows.map(({ lane }) => Number(lane))
  expect(everyLane).toHaveLength(64)
  const only = await bench.pool.query(
    `insert into malote.messages (topic, type, payload) values ('in one lane', 'x', '{}') returning lane`,
  )
  const lane = Number(only.rows[0].lane)
  const relay = await aRelay()
  const asked: number[][] = []
  relay.onRead((moment, _text, values) => {
    if (moment === 'before') asked.push(values?.[0] as number[])
    return Promise.resolve()
  })

  expect(await relay.reader.readSamples(['everywhere'])).toHaveLength(4)
  expect(asked.splice(0).map(({ length }) => length)).toEqual([10])

  expect(await relay.reader.readSamples(['in one lane'])).toMatchObject([{ lane }])
  expect(asked.splice(0).filter((lanes) => lanes.includes(lane))).toHaveLength(1)

  expect(await relay.reader.readSamples(['nowhere'])).toEqual([])
  expect(asked.map(({ length }) => length)).toEqual([10, 20, 34])
  expect(asked.flat().sort((a, b) => a - b)).toEqual(everyLane)
})
