import { type ConsumerStores, openConsumerStores } from '@malote/testing/consumer-stores'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { DeadLetterNote } from '../src/adapter/index.ts'
import { createConsumerStore, listOperatorActions } from '../src/index.ts'
import { aReceivedMessage, eventually } from '../src/testing/index.ts'

let stores: ConsumerStores
beforeAll(async () => {
  stores = await openConsumerStores(inject('postgresUrl'))
})
afterAll(() => stores.close())

const note: DeadLetterNote = {
  reason: 'MAX_ATTEMPTS',
  attempts: 2,
  error: 'Error: no stock',
  source: 'orders',
  topic: 'orders',
  at: '2026-11-28T00:00:00.000Z',
}

describe('calls', () => {
  it('a first call that failed, one that never ended and one that ended are told apart', async () => {
    const { store } = stores.setup()
    const message = aReceivedMessage()

    await store.count(message.id, 1)
    await store.begin(message.id)
    expect(await store.look(message)).toEqual({ calls: 2, unended: 1, isHeld: false })
    await store.begin(message.id)
    await store.ended(message.id, false)
    expect(await store.look(message)).toEqual({ calls: 2, unended: 1, isHeld: false })
    await store.forget(message.id)
    expect(await store.look(message)).toEqual({ calls: 0, unended: 0, isHeld: false })
  })

  it('ids and keys of any producer are kept: very long, with NUL, with half a surrogate pair', async () => {
    const { store, streams, consumer } = stores.setup()
    const odd = `\0${'x'.repeat(5_000)}\ud800`
    const message = aReceivedMessage({ id: odd, topic: odd, type: odd, orderingKey: odd })

    await store.hold(message, note)
    await store.begin(message.id)

    expect(await store.look(message)).toEqual({ calls: 1, unended: 1, isHeld: true })
    expect(await streams.release({ consumer, topic: odd, orderingKey: odd }, 'retry')).toBe(true)
    const stream = await store.claimReleased(1_000)
    expect((await stream?.next())?.message).toMatchObject({ id: odd, topic: odd, type: odd, orderingKey: odd })
  })

  it('what has not been heard of for a month is swept', async () => {
    const { store, consumer } = stores.setup()
    const [old, young] = [aReceivedMessage(), aReceivedMessage()]
    await store.begin(old.id)
    await stores.db.query(
      `update malote.consumer_calls set updated_at = now() - interval '31 days' where consumer = $1`,
      [consumer],
    )
    await store.begin(young.id)

    await store.sweep(30)

    expect((await store.look(old)).calls).toBe(0)
    expect((await store.look(young)).calls).toBe(1)
  })
})

describe('held streams', () => {
  const inStream = (body = '{}') => aReceivedMessage({ orderingKey: 'k', body: new TextEncoder().encode(body) })

  it('a message comes back as it was received, and copies wait once', async () => {
    const { store, streams, consumer } = stores.setup()
    const [dead, next] = [
      inStream(),
      aReceivedMessage({
        orderingKey: 'k',
        headers: { traceparent: '00-1' },
        attributes: { source: '/x', subject: 'y' },
        body: new Uint8Array([0, 255, 128]),
        createdAt: new Date('2026-01-02T03:04:05.678Z'),
      }),
    ]

    await store.hold(dead, note)
    expect([await store.park(next), await store.park(next)]).toEqual([true, true])
    const [held] = await streams.list({ consumer })
    expect(held).toMatchObject({
      topic: 'orders',
      orderingKey: 'k',
      deadMessageId: dead.id,
      note,
      waiting: 1,
      isHeld: true,
    })
    await streams.release(held!, 'discard', { operator: 'ann', reason: 'test data' })

    const stream = await store.claimReleased(60_000)
    const waiting = await stream!.next()
    expect(waiting?.message).toEqual({ ...next, json: expect.any(Function) })
    const [action] = await listOperatorActions({ db: stores.db })
    expect(action).toMatchObject({ operator: 'ann', action: 'discard', reason: 'test data', affected: 1 })
    expect(action?.target).toEqual([{ consumer, topic: 'orders', ordering_key: 'k', message_id: dead.id }])
  })

  it('a stream that is being handled is with nobody else, until its lease runs out', async () => {
    const { store, streams, consumer } = stores.setup()
    await store.hold(inStream(), note)
    await streams.release({ consumer, topic: 'orders', orderingKey: 'k' }, 'retry')

    const first = await store.claimReleased(60_000)
    expect(await store.claimReleased(60_000)).toBeNull()
    expect(await first!.renew(1)).toBe(true)
    const second = await eventually(async () => {
      const claimed = await store.claimReleased(60_000)
      expect(claimed).not.toBeNull()
      return claimed
    })

    expect(await first!.next()).toBeNull()
    expect(await first!.renew(60_000)).toBe(false)
    const waiting = await second!.next()
    expect(await first!.done(waiting!.position)).toBe(false)
    expect(await second!.done(waiting!.position)).toBe(true)
  })

  it('a message that comes while the hold ends either waits and keeps the hold, or finds none', async () => {
    for (let round = 0; round < 40; round++) {
      const { store, streams, consumer } = stores.setup()
      await store.hold(inStream(), note)
      await streams.release({ consumer, topic: 'orders', orderingKey: 'k' }, 'discard')
      const stream = await store.claimReleased(60_000)

      const late = inStream()
      const [parked] = await Promise.all([store.park(late), stream!.end()])

      const isHeld = (await store.look(late)).isHeld
      expect(isHeld).toBe(parked)
      if (parked) expect((await (await store.claimReleased(60_000))!.next())?.message.id).toBe(late.id)
    }
  })

  it('a hold that ends while a message is being written beside it stays', async () => {
    const { store, streams, consumer } = stores.setup()
    await store.hold(inStream(), note)
    await streams.release({ consumer, topic: 'orders', orderingKey: 'k' }, 'discard')
    const stream = await store.claimReleased(60_000)
    const client = await stores.database.client()
    const slow = createConsumerStore({ db: client, consumer })

    await client.query('begin')
    expect(await slow.park(inStream())).toBe(true)
    const ending = stream!.end()
    await eventually(async () => {
      const { rows } = await stores.db.query(
        `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%delete from%'`,
      )
      expect(rows.length).toBeGreaterThan(0)
    })
    await client.query('commit')
    await ending

    expect((await streams.list({ consumer }))[0]).toMatchObject({ isHeld: false, waiting: 1 })
  })

  it('a stream whose hold is written as another hold of it ends is held', async () => {
    const { store, streams, consumer } = stores.setup()
    const dead = inStream()
    await store.hold(inStream(), note)
    await streams.release({ consumer, topic: 'orders', orderingKey: 'k' }, 'discard')
    const client = await stores.database.client()
    const ending = await createConsumerStore({ db: client, consumer }).claimReleased(60_000)

    await client.query('begin')
    await ending!.end()
    const holding = store.hold(dead, note)
    await eventually(async () => {
      const { rows } = await stores.db.query(
        `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%held as%'`,
      )
      expect(rows.length).toBeGreaterThan(0)
    })
    await client.query('commit')
    await holding

    expect(await streams.list({ consumer })).toMatchObject([{ deadMessageId: dead.id, isHeld: true, waiting: 0 }])
  })
})
