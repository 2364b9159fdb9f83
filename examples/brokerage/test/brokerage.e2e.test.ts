import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { brokers } from '../src/demo/arguments.ts'
import { scaled } from '@malote/testing/slowness'
import { type Rig, startRig } from './brokerage-rig.ts'
import { type Collector, startCollector } from './collector.ts'

/** Each case on the demo's own broker, and on more when asked: `MALOTE_E2E_BROKERS=sqs,rabbitmq,kafka`. */
const chosen = (process.env['MALOTE_E2E_BROKERS'] ?? 'sqs').split(',')
const known = brokers.filter((broker) => chosen.includes(broker))
if (known.length !== chosen.length) throw new Error(`MALOTE_E2E_BROKERS may name ${brokers.join(', ')}`)

const closed = ['SETTLED', 'COMPENSATED', 'CANCELLED']

let collector: Collector
beforeAll(async () => {
  collector = await startCollector()
})
afterAll(() => collector.close())

describe.each(known)('the brokerage on %s', (broker) => {
  let rig: Rig
  beforeAll(async () => {
    rig = await startRig(broker, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  })
  afterEach(async () => {
    await rig.break({})
    await rig.expectAllWell()
  })
  afterAll(() => rig?.stop())

  describe('an order', () => {
    it.each([
      ['to buy settles', {}, 'SETTLED'],
      ['to sell settles', { type: 'SELL' }, 'SETTLED'],
      ['that the exchange rejects is compensated', { asset: 'OIBR3' }, 'COMPENSATED'],
    ] as const)('%s', async (_what, wanted, state) => {
      await rig.whenIn(await rig.place(wanted), state)
    })

    it('that is filled in part settles that part', async () => {
      const { quantity, filledQuantity } = await rig.whenIn(await rig.place({ asset: 'MGLU3' }), 'SETTLED')

      expect(Number(filledQuantity)).toBeGreaterThan(0)
      expect(Number(filledQuantity)).toBeLessThan(Number(quantity))
    })

    it('asked for ten times under one key is one order', async () => {
      const ids = await Promise.all(Array.from({ length: 10 }, () => rig.place({}, 'the-same-key-ten-times')))

      expect(new Set(ids).size).toBe(1)
    })

    it('cancelled before it is sent gives back, and after it is sent comes too late', async () => {
      const sent = await rig.place()
      await rig.whenIn(sent, 'SETTLED')
      await rig.break({ breakWorker: true })
      const waiting = await rig.place()

      expect([await rig.cancel(waiting), await rig.cancel(sent)]).toEqual([200, 409])
      await rig.whenIn(waiting, 'CANCELLED')
    })
  })

  describe('a fault', () => {
    it('of the relay keeps orders waiting, and loses none', async () => {
      await rig.break({ breakWorker: true })
      const ids = await Promise.all([rig.place(), rig.place()])
      await rig.break({})

      for (const id of ids) await rig.whenIn(id, 'SETTLED')
    })

    it('of the consumers, who fail twice and then do not, has each message one effect', async () => {
      await rig.break({ successOnAttempt: 3 })

      await rig.whenIn(await rig.place(), 'SETTLED')
    })

    it('of the consumers for good keeps the order until it is mended', async () => {
      await rig.break({ breakConsumer: true })
      const id = await rig.place()
      await pause(500)
      const { status } = await rig.order(id)
      await rig.break({})

      expect(status).toBe('BALANCE_RESERVED')
      await rig.whenIn(id, 'SETTLED')
    })

    it('that publishes everything twice has each message one effect', async () => {
      const before = await rig.duplicates()
      await rig.break({ duplicateEvents: true })

      await rig.whenIn(await rig.place(), 'SETTLED')
      await expect.poll(() => rig.duplicates(), { timeout: scaled(20_000) }).toBeGreaterThan(before)
    })

    it('of the exchange, which rejects everything, compensates', async () => {
      await rig.break({ b3: 'rejecting' })

      expect(await rig.whenIn(await rig.place(), ...closed)).toMatchObject({
        status: 'COMPENSATED',
        reason: 'MARKET_CLOSED',
      })
    })

    it.each([
      ['is too slow to answer', 'slow'],
      ['executes and does not say so', 'unknown'],
      ['is away for longer than all attempts', 'down'],
    ] as const)('of the exchange, which %s, ends in what the exchange has done', async (_what, b3) => {
      await rig.break({ b3 })
      const ids = await Promise.all([rig.place(), rig.place({ type: 'SELL' })])
      // Attempts after 0.1, 0.2, 0.4 s and so on; the slow one answers nothing within its limit of 3 s.
      await pause(b3 === 'slow' ? 3_500 : 1_500)
      const open = await Promise.all(ids.map((id) => rig.order(id)))
      await rig.break({})

      for (const { status } of open) expect(['BALANCE_RESERVED', 'SENT_TO_B3']).toContain(status)
      for (const id of ids) await rig.whenIn(id, 'SETTLED')
    })
  })

  it('puts what the exchange never tells before a person, who decides; what it tells after all needs none', async () => {
    await rig.break({ b3: 'unknown' })
    const [settled, told] = await Promise.all([rig.place(), rig.place({ type: 'SELL' })])
    for (const id of [settled, told]) await rig.whenIn(id, 'FAILED')
    const waiting = await rig.tasks()
    // The person found the trade in the exchange's books: the whole order.
    const decisions = [await rig.decide(settled, 'SETTLED'), await rig.decide(settled, 'COMPENSATED')]
    await rig.whenIn(settled, 'SETTLED')
    await rig.break({})
    await rig.whenIn(told, 'SETTLED')

    expect(waiting).toEqual(expect.arrayContaining([settled, told]))
    expect(decisions).toEqual([200, 409])
    expect(await rig.tasks()).toEqual([])
  })

  it('tells from the request to the ledger in one trace, to whatever collector the environment names', async () => {
    const traceId = randomBytes(16).toString('hex')
    await rig.whenIn(await rig.place({ traceparent: `00-${traceId}-00f067aa0ba902b7-01` }), 'SETTLED')

    await expect
      .poll(() => collector.spansOf(traceId), { timeout: scaled(20_000) })
      .toEqual(
        expect.arrayContaining([
          'brokerage-api: POST /api/orders',
          'brokerage-orders: process order-requests',
          'brokerage-balances: process order-outcomes',
          'brokerage-listeners: process order-results',
        ]),
      )
    expect(collector.linksTo(traceId)).toContain('brokerage-relay: publish')
  })

  it('survives the death of each role with orders on their way', async () => {
    const ids: string[] = []
    for (const role of ['relay', 'orders', 'balances', 'listeners', 'b3', 'market', 'api'] as const) {
      ids.push(...(await Promise.all([rig.place(), rig.place({ type: 'SELL' }), rig.place({ asset: 'OIBR3' })])))
      await rig.kill(role)
    }

    for (const id of ids) await rig.whenIn(id, ...closed)
  })

  it('goes on where it was when the broker, the exchange and then the database were away', async () => {
    await rig.break({ breakBroker: true, b3: 'down' })
    const during = await Promise.all([rig.place(), rig.place({ type: 'SELL' })])
    rig.databaseOutage(true)
    await expect.poll(() => rig.health(), { timeout: scaled(20_000) }).toBe(503)
    rig.databaseOutage(false)
    await expect.poll(() => rig.health(), { timeout: scaled(40_000) }).toBe(200)
    await rig.break({})

    for (const id of during) await rig.whenIn(id, ...closed)
  })
})
