import type { KafkaConsumerOptions } from '@malote/adapter-kafka'
import type { RabbitmqConsumerOptions } from '@malote/adapter-rabbitmq'
import type { SqsConsumerOptions } from '@malote/adapter-sqs'
import { decodeForeign } from '@malote/outbox-core/adapter'
import { expect, it } from 'vitest'
import { debezium, eventBridge, massTransit, plainJson } from './foreign-messages.ts'

// The recipes fit the options they are written for.
const onKafka: KafkaConsumerOptions['decode'] = debezium
const onRabbitmq: RabbitmqConsumerOptions['decode'] = massTransit
const onSqs: SqsConsumerOptions['decode'][] = [eventBridge, plainJson]

const known = { topic: 'orders', body: new Uint8Array(), sentAt: new Date(5_000) }

it('the recipes are options of the consumers', () => {
  expect([onKafka, onRabbitmq, ...onSqs]).not.toContain(undefined)
})

it("reads records of Debezium's outbox router, and leaves others to the adapter", () => {
  const headers = { id: Buffer.from('b5f0c1f4-0000-4000-8000-000000000001'), eventType: 'OrderAccepted' }
  const record = { key: Buffer.from('conta-1'), value: Buffer.from('{"amount":1}'), headers }

  const message = decodeForeign(debezium, record, known)

  expect(message).toMatchObject({
    id: 'b5f0c1f4-0000-4000-8000-000000000001',
    type: 'OrderAccepted',
    topic: 'orders',
    orderingKey: 'conta-1',
    createdAt: known.sentAt,
  })
  expect(message?.json()).toEqual({ amount: 1 })
  expect(decodeForeign(debezium, { ...record, headers: {} }, known)).toBeNull()
})

it("reads MassTransit's envelope", () => {
  const envelope = {
    messageId: '7f4e0000-5dc1-08db-0000-000000000000',
    messageType: ['urn:message:Orders.Contracts:OrderAccepted'],
    sentTime: '2026-11-20T12:00:00.0000000Z',
    message: { amount: 1 },
  }
  const properties = { contentType: 'application/vnd.masstransit+json' }

  const message = decodeForeign(massTransit, { content: Buffer.from(JSON.stringify(envelope)), properties }, known)

  expect(message).toMatchObject({
    id: envelope.messageId,
    type: 'OrderAccepted',
    createdAt: new Date('2026-11-20T12:00:00Z'),
  })
  expect(message?.json()).toEqual({ amount: 1 })
})

it('reads an event of EventBridge', () => {
  const Body = JSON.stringify({
    version: '0',
    id: '6a7e8feb-b491-4cf7-a9f1-bf3703467718',
    'detail-type': 'OrderAccepted',
    source: 'com.loja.orders',
    account: '111122223333',
    time: '2026-11-20T12:00:00Z',
    region: 'sa-east-1',
    resources: [],
    detail: { amount: 1 },
  })

  const message = decodeForeign(eventBridge, { Body }, known)

  expect(message).toMatchObject({ type: 'OrderAccepted', attributes: { source: 'com.loja.orders' } })
  expect(message?.json()).toEqual({ amount: 1 })
  expect(decodeForeign(eventBridge, { Body: '{}' }, known)).toBeNull()
})

it('reads plain JSON, whose body stays whole', () => {
  const Body = '{"orderId":17,"account":"conta-1"}'

  const message = decodeForeign(plainJson, { Body }, { ...known, body: new TextEncoder().encode(Body) })

  expect(message).toMatchObject({ id: 'order-17', orderingKey: 'conta-1' })
  expect(message?.json()).toEqual({ orderId: 17, account: 'conta-1' })
})

it('what a recipe stumbles over is undecodable, and becomes a dead letter', () => {
  expect(() => decodeForeign(plainJson, { Body: '{' }, known)).toThrow(
    expect.objectContaining({ code: 'UNDECODABLE_MESSAGE' }),
  )
})
