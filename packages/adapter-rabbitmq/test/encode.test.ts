import { anOutboxMessage } from '@malote/outbox-core/testing'
import type { OutboxMessage } from '@malote/outbox-core'
import { describe, expect, it } from 'vitest'
import { attemptOf, decodeMessage } from '../src/decode.ts'
import { encodeMessage, type EncodedMessage } from '../src/encode.ts'

const options = {
  source: '/tests',
  maxMessageBytes: 100,
  route: (topic: string) => ({ exchange: 'events', routingKey: topic }),
}

const encoded = (change: Partial<OutboxMessage>): EncodedMessage =>
  encodeMessage(anOutboxMessage(change), options) as EncodedMessage

/** A message as the broker hands it back. */
const received = (
  { content, properties, routingKey }: EncodedMessage,
  more = {},
): Parameters<typeof decodeMessage>[0] => ({
  content,
  fields: { deliveryTag: 1, redelivered: false, exchange: 'events', routingKey, consumerTag: 'c' },
  properties: { ...properties, headers: { ...properties.headers, ...more } } as never,
})

describe('encoding', () => {
  it('is mandatory, persistent and native where AMQP has a field', () => {
    const createdAt = new Date('2026-02-28T23:59:59.900Z')
    const { exchange, routingKey, properties } = encoded({ topic: 'orders', type: 'order.accepted', createdAt })

    expect({ exchange, routingKey }).toEqual({ exchange: 'events', routingKey: 'orders' })
    expect(properties).toMatchObject({
      mandatory: true,
      persistent: true,
      type: 'order.accepted',
      contentType: 'application/json',
      timestamp: 1_772_323_199,
    })
    expect(properties.headers).toMatchObject({ 'cloudEvents:type': 'order.accepted', 'cloudEvents:source': '/tests' })
  })

  it.each([
    [{ body: 'x'.repeat(101) }, 'permanent', 'TOO_LARGE'],
    [{ headers: { CC: 'elsewhere' } }, 'permanent', 'UNENCODABLE'],
    [{ headers: { ['h'.repeat(256)]: '' } }, 'permanent', 'UNENCODABLE'],
    [{ contentType: 'c'.repeat(256) }, 'permanent', 'UNENCODABLE'],
    [{ topic: 'ação'.repeat(50) }, 'unavailable', 'INVALID_ROUTE'],
  ] as const)('refuses %o as %s %s', (change, kind, code) => {
    expect(encodeMessage(anOutboxMessage(change), options)).toMatchObject({ kind, code })
  })

  it('blames a route that throws, retryable', () => {
    const route = (): never => {
      throw new Error('no such topic')
    }

    expect(encodeMessage(anOutboxMessage(), { ...options, route })).toMatchObject({
      kind: 'unavailable',
      code: 'INVALID_ROUTE',
    })
  })
})

describe('decoding', () => {
  it("keeps the producer's headers and leaves out the broker's and our notes", () => {
    const message = received(encoded({ headers: { 'x-tenant': 'b3' } }), {
      'x-delivery-count': 2,
      'x-first-death-queue': 'orders',
      'malote-attempts': 3,
    })

    expect(decodeMessage(message).headers).toEqual({ 'x-tenant': 'b3' })
  })

  it('takes the topic a moved message had before it was moved', () => {
    expect(decodeMessage(received(encoded({ topic: 'orders' }))).topic).toBe('orders')
    expect(decodeMessage(received(encoded({ topic: 'moved' }), { 'malote-topic': 'orders' })).topic).toBe('orders')
  })

  it.each([
    ['text', '2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.678Z'],
    ['milliseconds, as the official SDK for Python writes them', 1_767_323_045_678, '2026-01-02T03:04:05.678Z'],
    ["AMQP's own instant", { '!': 'timestamp', value: 1_767_323_045 }, '2026-01-02T03:04:05.000Z'],
  ])('reads the time of an event that is %s', (_, time, instant) => {
    const message = received(encoded({}))
    const headers = { cloudEvents_id: '7', cloudEvents_type: 'order.accepted', cloudEvents_time: time }

    const event = decodeMessage({ ...message, properties: { ...message.properties, headers } })

    expect([event.createdAt.toISOString(), event.attributes?.['time']]).toEqual([instant, instant])
  })

  it('calls an event undecodable whose time is none', () => {
    const message = received(encoded({}), { 'cloudEvents:time': 'yesterday' })

    expect(() => decodeMessage(message)).toThrow(/RFC 3339/)
  })

  const fromRetryQueue = { 'x-death': [{ queue: 'q.retry.1000', reason: 'expired' }] }

  it('counts attempts from our notes and from the broker', () => {
    expect(attemptOf(received(encoded({})), 'q')).toBe(1)
    const noted = received(encoded({}), { ...fromRetryQueue, 'malote-attempts': 2, 'x-delivery-count': 1 })
    expect(attemptOf({ ...noted, fields: { ...noted.fields, redelivered: true } }, 'q')).toBe(4)
    // A count that came with a fresh delivery is some producer's header.
    expect(attemptOf(noted, 'q')).toBe(3)
    expect(attemptOf(received(encoded({}), { ...fromRetryQueue, 'malote-attempts': 'many' }), 'q')).toBe(1)
  })

  it('starts with a full count for a message that came from anywhere but a retry queue of ours', () => {
    const count = (headers: object): number =>
      attemptOf(received(encoded({}), { 'malote-attempts': 5, ...headers }), 'q')

    expect(count({})).toBe(1)
    expect(count({ 'malote-dead-letter': '{}' })).toBe(1)
    expect(count({ 'x-death': [{ queue: 'other.retry.1000', reason: 'expired' }] })).toBe(1)
    expect(count({ 'x-death': [{ queue: 'q', reason: 'rejected' }, ...fromRetryQueue['x-death']] })).toBe(1)
    expect(count(fromRetryQueue)).toBe(6)
  })
})
