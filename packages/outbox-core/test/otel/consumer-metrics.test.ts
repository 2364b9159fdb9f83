import { createTelemetry, type Telemetry } from '@malote/testing/telemetry'
import { beforeEach, expect, it } from 'vitest'
import { deliver, resolveConsumerOptions } from '../../src/adapter/index.ts'
import {
  type ConsumerEvent,
  type DeliveryHandler,
  PermanentFailure,
  type ReceivedMessage,
  UnknownTypeError,
} from '../../src/index.ts'
import { consumerMetrics } from '../../src/otel/index.ts'

const message: ReceivedMessage = {
  id: '0198b1a0-0000-7000-8000-000000000001',
  topic: 'orders',
  type: 'order.accepted',
  orderingKey: null,
  headers: {},
  body: new Uint8Array(),
  contentType: 'application/json',
  createdAt: new Date(0),
  json: () => ({}),
}
let telemetry: Telemetry
let onEvent: (event: ConsumerEvent) => void

beforeEach(() => {
  telemetry = createTelemetry()
  onEvent = consumerMetrics({ meter: telemetry.meter })
})

const deliverTo = (handler: DeliveryHandler, attempt = 1) =>
  deliver(resolveConsumerOptions({ handler, onEvent, maxAttempts: 2 }), {
    message,
    attempt,
    signal: new AbortController().signal,
  })
const fail = (error: unknown) => async () => {
  throw error
}

it('deliveries are counted by message type and what became of them', async () => {
  await deliverTo(async () => {})
  await deliverTo(fail(new Error('no')))
  await deliverTo(fail(new Error('no')), 2)
  await deliverTo(fail(new PermanentFailure('never')))
  await deliverTo(fail(new UnknownTypeError(message.type)))

  const deliveries = await telemetry.measurements('malote.consumer.deliveries')
  const type = { 'malote.message.type': 'order.accepted' }
  expect(deliveries).toEqual([
    { attributes: { ...type, 'malote.outcome': 'handled' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'failed' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'dead-lettered', 'malote.reason': 'MAX_ATTEMPTS' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'dead-lettered', 'malote.reason': 'PERMANENT' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'unknown-type' }, value: 1 },
  ])
  expect(await telemetry.measurements('malote.consumer.handle.duration')).toMatchObject([
    { attributes: type, count: 1, bounds: expect.arrayContaining([0.005, 10]) },
  ])
})

it('what needs an operator has a counter of its own', async () => {
  const error = new Error('gone')
  onEvent({ type: 'message.dead-letter-failed', id: null, error, retryInMs: 10 })
  onEvent({ type: 'message.hold-lost', id: message.id, error })
  onEvent({ type: 'consumer.disconnected', error, retryInMs: 10 })

  for (const name of ['dead_letter_failures', 'holds_lost', 'disconnects'])
    expect(await telemetry.measurements(`malote.consumer.${name}`)).toEqual([{ attributes: {}, value: 1 }])
})

it('a dead letter that could not be decoded has no type to be counted by', async () => {
  const error = new Error('not ours')
  onEvent({ type: 'message.dead-lettered', id: null, messageType: null, attempt: 1, reason: 'UNDECODABLE', error })

  expect(await telemetry.measurements('malote.consumer.deliveries')).toEqual([
    { attributes: { 'malote.outcome': 'dead-lettered', 'malote.reason': 'UNDECODABLE' }, value: 1 },
  ])
})
