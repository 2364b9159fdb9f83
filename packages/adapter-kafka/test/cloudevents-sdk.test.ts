import { decodeEnvelope, encodeEnvelope } from '@malote/outbox-core/adapter'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { CloudEvent, HTTP, Kafka } from 'cloudevents'
import { describe, expect, it } from 'vitest'
import type { FetchedRecord } from '../src/client.ts'
import { decodeMessage } from '../src/decode.ts'
import { encodeMessage } from '../src/encode.ts'

const sent = anOutboxMessage({ orderingKey: 'conta-1', body: '{"texto":"não 😀"}', headers: { tenant: 'b3' } })

const foreign = new CloudEvent({
  id: 'order/17',
  source: '/loja',
  type: 'order.accepted',
  subject: 'conta-1',
  dataschema: 'https://loja.test/order.json',
  time: '2026-11-20T12:00:00.123Z',
  datacontenttype: 'application/json',
  data: { amount: 1_000 },
  partitionkey: 'conta-1',
})

/** A record as a client hands it over: everything is bytes. */
function fetched(message: { readonly headers: unknown; readonly value: unknown }): FetchedRecord {
  // The SDK leaves headers without a value, which no client sends.
  const headers = Object.entries(message.headers as Record<string, string>).filter(([, text]) => text !== undefined)
  const { value } = message
  return {
    key: null,
    value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    offset: '0',
    headers: Object.fromEntries(headers.map(([name, text]) => [name, Buffer.from(text)])),
  }
}

describe('the official SDK', () => {
  it('reads our records', () => {
    const record = encodeMessage(sent, '/loja', sent.topic)

    const event = Kafka.toEvent({ ...record, body: undefined, value: record.value?.toString() } as never)

    expect(event).toMatchObject({
      id: sent.id,
      source: '/loja',
      type: sent.type,
      time: sent.createdAt.toISOString(),
      partitionkey: 'conta-1',
      data: { texto: 'não 😀' },
    })
  })

  it('reads our headers where they begin with ce-, as on SQS and RabbitMQ', () => {
    const headers = encodeEnvelope(sent, { prefix: 'ce-', source: '/loja' })

    expect(HTTP.toEvent({ headers, body: sent.body })).toMatchObject({ id: sent.id, data: { texto: 'não 😀' } })
  })

  it.each([
    ['binary', Kafka.binary(foreign)],
    ['structured', Kafka.structured(foreign)],
  ])('writes records in %s mode that we read', (_, message) => {
    const record = fetched(message)

    const received = decodeMessage(record, 'orders')

    expect(received).toMatchObject({
      id: 'order/17',
      type: 'order.accepted',
      orderingKey: 'conta-1',
      createdAt: new Date('2026-11-20T12:00:00.123Z'),
    })
    expect(received.attributes).toMatchObject({
      source: '/loja',
      subject: 'conta-1',
      dataschema: 'https://loja.test/order.json',
    })
    expect(received.json()).toEqual({ amount: 1_000 })
  })

  it.each([
    ['binary', HTTP.binary(foreign)],
    ['structured', HTTP.structured(foreign)],
  ])('writes headers in %s mode that we read', (_, message) => {
    const headers = message.headers as Record<string, string>

    const received = decodeEnvelope(headers, Buffer.from(String(message.body)), 'orders', 'ce_')

    expect([received.id, received.json()]).toEqual(['order/17', { amount: 1_000 }])
  })
})
