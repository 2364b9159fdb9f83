import { createTelemetry, type Telemetry } from '@malote/testing/telemetry'
import { beforeEach, expect, it } from 'vitest'
import { createMessageProcessor, resolveConsumerOptions } from '../../src/adapter/index.ts'
import {
  type ConsumerEvent,
  type DeliveryHandler,
  HandlerOutageError,
  PermanentFailure,
  UnknownTypeError,
} from '../../src/index.ts'
import { aMessageInHand, aReceivedMessage } from '../../src/testing/index.ts'
import { consumerMetrics } from '../../src/otel/index.ts'

const message = aReceivedMessage()
let telemetry: Telemetry
let onEvent: (event: ConsumerEvent) => void

beforeEach(() => {
  telemetry = createTelemetry()
  onEvent = consumerMetrics({ meter: telemetry.meter })
})

const deliverTo = (handler: DeliveryHandler, attempt = 1) =>
  createMessageProcessor(resolveConsumerOptions({ handler, onEvent, maxAttempts: 2 })).process(
    aMessageInHand({ received: { message }, attempt }),
  )
const fail = (error: unknown) => async () => {
  throw error
}

it('deliveries are counted by message type and what became of them', async () => {
  await deliverTo(async () => {})
  await deliverTo(fail(new Error('no')))
  await deliverTo(fail(new Error('no')), 2)
  await deliverTo(fail(new PermanentFailure('never')))
  await deliverTo(fail(new UnknownTypeError(message.type)))
  await deliverTo(outageOnce())

  const deliveries = await telemetry.measurements('malote.consumer.deliveries')
  const type = { 'malote.message.type': 'order.accepted' }
  expect(deliveries).toEqual([
    { attributes: { ...type, 'malote.outcome': 'handled' }, value: 2 },
    { attributes: { ...type, 'malote.outcome': 'failed' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'dead-lettered', 'malote.reason': 'MAX_ATTEMPTS' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'dead-lettered', 'malote.reason': 'PERMANENT' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'unknown-type' }, value: 1 },
    { attributes: { ...type, 'malote.outcome': 'outage' }, value: 1 },
  ])
  expect(await telemetry.measurements('malote.consumer.handle.duration')).toMatchObject([
    { attributes: type, count: 2, bounds: expect.arrayContaining([0.005, 10]) },
  ])
})

const outageOnce = (): DeliveryHandler => {
  let calls = 0
  return async () => {
    if (calls++ === 0) throw new HandlerOutageError('the ledger is away')
  }
}

it('a pause and its end are measured', async () => {
  onEvent({ type: 'consumer.paused', reason: 'OUTAGE', error: new Error('gone') })
  onEvent({ type: 'consumer.resumed', afterMs: 61_000 })

  expect(await telemetry.measurements('malote.consumer.pauses')).toEqual([
    { attributes: { 'malote.reason': 'OUTAGE' }, value: 1 },
  ])
  expect(await telemetry.measurements('malote.consumer.pause.duration')).toMatchObject([{ count: 1, value: 61 }])
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
