import { createNoopMeter, type Meter } from '@opentelemetry/api'
import { createTelemetry, type Telemetry } from '@malote/testing/telemetry'
import { beforeEach, expect, it } from 'vitest'
import type { RelayEvent } from '../../src/index.ts'
import { relayMetrics } from '../../src/otel/index.ts'

const error = new Error('with the words of a message')
const id = '0198b1a0-0000-7000-8000-000000000001'
let telemetry: Telemetry
let tell: (...events: RelayEvent[]) => void

beforeEach(() => {
  telemetry = createTelemetry()
  const onEvent = relayMetrics({ meter: telemetry.meter, attributes: { outbox: 'main' } })
  tell = (...events) => events.forEach(onEvent)
})

it('published messages add up, and publish and settle durations are kept in seconds', async () => {
  tell(
    { type: 'batch.published', messages: 3, failed: 1, ms: 40 },
    { type: 'batch.published', messages: 2, failed: 0, ms: 60 },
    { type: 'batch.settled', messages: 5, ms: 4 },
  )

  expect(await telemetry.measurements('malote.relay.published')).toEqual([{ attributes: { outbox: 'main' }, value: 5 }])
  const [published] = await telemetry.measurements('malote.relay.publish.duration')
  expect(published).toMatchObject({ attributes: { outbox: 'main' }, count: 2, value: 0.1 })
  expect(published?.bounds?.[0]).toBe(0.005)
  expect(await telemetry.measurements('malote.relay.settle.duration')).toMatchObject([{ count: 1, value: 0.004 }])
})

it('retries are counted by topic and code, dead letters by reason too', async () => {
  const failed = { id, topic: 'orders', attempt: 3, code: 'NACK' } as const
  tell(
    { type: 'message.retry-scheduled', ...failed, retryInMs: 10 },
    { type: 'message.retry-scheduled', ...failed, retryInMs: 10 },
    { type: 'message.dead-lettered', ...failed, reason: 'MAX_ATTEMPTS' },
    { type: 'message.dead-lettered', ...failed, reason: 'PERMANENT' },
    { type: 'key.held', topic: 'orders', id },
  )

  const where = { outbox: 'main', 'messaging.destination.name': 'orders' }
  const why = { ...where, 'error.type': 'NACK' }
  expect(await telemetry.measurements('malote.relay.retries')).toEqual([{ attributes: why, value: 2 }])
  expect(await telemetry.measurements('malote.relay.dead_letters')).toEqual([
    { attributes: { ...why, 'malote.reason': 'MAX_ATTEMPTS' }, value: 1 },
    { attributes: { ...why, 'malote.reason': 'PERMANENT' }, value: 1 },
  ])
  expect(await telemetry.measurements('malote.relay.held_keys')).toEqual([{ attributes: where, value: 1 }])
})

it('lanes that change hands are counted by how, and a lost session by why', async () => {
  tell(
    { type: 'lanes.acquired', lanes: [1, 2, 3] },
    { type: 'lanes.released', lanes: [1] },
    { type: 'lanes.lost', lanes: [2, 3], reason: 'fenced' },
  )

  const handovers = await telemetry.measurements('malote.relay.lane_handovers')
  expect(handovers.map(({ attributes, value }) => [attributes['malote.outcome'], value])).toEqual([
    ['acquired', 3],
    ['released', 1],
    ['lost', 2],
  ])
  expect(await telemetry.measurements('malote.relay.sessions_lost')).toEqual([
    { attributes: { outbox: 'main', 'malote.reason': 'fenced' }, value: 1 },
  ])
})

it('an outage shows while it lasts, and its length when it has ended', async () => {
  const isOut = async () => (await telemetry.measurements('malote.relay.broker_out')).map(({ value }) => value)
  tell({ type: 'outage.started', error, retryInMs: 10 })
  expect(await isOut()).toEqual([1])
  expect(await telemetry.measurements('malote.relay.outage.duration')).toEqual([])

  tell({ type: 'outage.ended', ms: 90_000 })

  expect(await isOut()).toEqual([0])
  expect(await telemetry.measurements('malote.relay.outage.duration')).toMatchObject([{ count: 1, value: 90 }])
  expect(await telemetry.measurements('malote.relay.outages')).toMatchObject([{ value: 1 }])
})

it('a destination that is out of reach is named, and says nothing of the broker', async () => {
  const out = async () =>
    (await telemetry.measurements('malote.relay.destination_out')).map(({ attributes, value }) => [
      attributes['malote.destination'],
      value,
    ])
  tell({ type: 'outage.started', error, retryInMs: 10 })
  for (const destination of ['queue a', 'queue b']) tell({ type: 'outage.started', destination, error, retryInMs: 10 })
  tell({ type: 'outage.ended', destination: 'queue a', ms: 1_000 })

  expect(await out()).toEqual([
    ['queue a', 0],
    ['queue b', 1],
  ])
  expect(await telemetry.measurements('malote.relay.broker_out')).toMatchObject([{ value: 1 }])
  tell({ type: 'relay.started', relayId: 'another' })
  expect((await out()).map(([, value]) => value)).toEqual([0, 0])
})

it('an outage during which the session was lost does not last for ever', async () => {
  tell({ type: 'outage.started', error, retryInMs: 10 }, { type: 'lanes.lost', lanes: [], reason: 'connection-lost' })

  tell({ type: 'relay.started', relayId: 'another' })

  expect(await telemetry.measurements('malote.relay.broker_out')).toMatchObject([{ value: 0 }])
})

it('failures of the database and the doorbell are counted', async () => {
  tell(
    { type: 'database.disconnected', error, retryInMs: 10 },
    { type: 'database.reconnected' },
    { type: 'doorbell.unavailable', reason: 'a pooler' },
  )

  expect(await telemetry.measurements('malote.relay.database_failures')).toMatchObject([{ value: 1 }])
  expect(await telemetry.measurements('malote.relay.doorbell_failures')).toMatchObject([{ value: 1 }])
})

it('the alarm is there at zero before it rings, so that a rise can be seen', async () => {
  expect(await telemetry.measurements('malote.relay.rescan.found_missed')).toMatchObject([{ value: 0 }])

  tell({ type: 'rescan.found-missed', messages: 2 })

  expect(await telemetry.measurements('malote.relay.rescan.found_missed')).toMatchObject([{ value: 2 }])
})

it('a meter that throws is warned of once and never reaches the relay', async () => {
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
  const meter: Meter = createNoopMeter()
  meter.createHistogram = () => ({
    record: () => {
      throw new Error('the meter broke')
    },
  })
  const onEvent = relayMetrics({ meter })

  expect(() => onEvent({ type: 'batch.settled', messages: 1, ms: 1 })).not.toThrow()

  expect((await warned).message).toContain('the meter broke')
})
