import { propertyRuns } from '@malote/testing/property-scale'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import type { OutboxMessage } from '@malote/outbox-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeMessage } from '../src/decode.ts'
import { encodeMessage } from '../src/encode.ts'

const encode = (change: Partial<OutboxMessage>) => encodeMessage(anOutboxMessage(change), '/test')
const decode = (encoded: ReturnType<typeof encode>) =>
  decodeMessage({ Body: encoded.body, MessageAttributes: encoded.attributes }, 'orders')
const allowed = /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]+$/u

describe('a message on the wire', () => {
  it('has a plain attribute for every header while they fit', () => {
    const encoded = encode({ headers: { traceparent: '00-1', tenant: 'b3' } })

    expect(encoded.attributes).toMatchObject({
      'ce-specversion': { DataType: 'String', StringValue: '1.0' },
      'ce-type': { StringValue: 'order.accepted' },
      'ce-source': { StringValue: '/test' },
      'content-type': { StringValue: 'application/json' },
      traceparent: { StringValue: '00-1' },
      tenant: { StringValue: 'b3' },
    })
    expect(encoded.attributes['malote-headers']).toBeUndefined()
    expect(encoded.body).toBe('{"amount":1000}')
  })

  it('carries text with emoji as it is, and the topic', () => {
    const { body, attributes } = encode({ body: '{"texto":"não 😀"}', topic: 'contas' })

    expect([body, attributes['malote-body-encoding']]).toEqual(['{"texto":"não 😀"}', undefined])
    expect(decodeMessage({ Body: body, MessageAttributes: attributes }, 'a-queue').topic).toBe('contas')
  })

  it('encodes text with emoji for an endpoint that takes none', () => {
    const encoded = encodeMessage(anOutboxMessage({ body: '😀', headers: { mood: '😀' } }), '/test', 'bmp')

    expect(encoded.attributes['malote-body-encoding']?.StringValue).toBe('base64')
    expect(new TextDecoder().decode(decode(encoded).body)).toBe('😀')
    expect(decode(encoded).headers).toEqual({ mood: '😀' })
  })

  it('lets nothing packed pose as an attribute of its own', () => {
    const { body, attributes } = encode({})
    const packed = { DataType: 'String', StringValue: JSON.stringify({ 'ce-id': 'forged', tenant: 'b3' }) }

    const message = decodeMessage({ Body: body, MessageAttributes: { ...attributes, 'malote-headers': packed } }, 'q')

    expect([message.id, message.headers]).toEqual([attributes['ce-id']?.StringValue, { tenant: 'b3' }])
  })

  it('leaves one of the ten attributes free, however many headers there are', () => {
    const headers = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`h${String(index)}`, 'x']))

    const { attributes } = encode({ headers: { ...headers, traceparent: '00-1' }, orderingKey: 'k' })

    expect(Object.keys(attributes)).toHaveLength(9)
    expect(attributes['traceparent']).toBeDefined()
  })

  it.each(['conta-1', 'a'.repeat(128), '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'])(
    'keeps the key %j as its group',
    (key) => {
      expect(encode({ orderingKey: key }).group).toBe(key)
    },
  )

  it.each(['conta 1', 'ação', 'a'.repeat(129), '😀'])(
    'hashes the key %j, which AWS does not allow as a group',
    (key) => {
      expect(encode({ orderingKey: key }).group).toMatch(/^sha256:[0-9a-f]{64}$/)
      expect(encode({ orderingKey: key }).group).toBe(encode({ orderingKey: key }).group)
    },
  )

  it('counts its bytes as AWS does: body, and name, type and value of each attribute', () => {
    const { body, attributes, bytes } = encode({ body: 'ação' })

    const parts = Object.entries(attributes).flatMap(([name, value]) => [name, value.DataType, value.StringValue])
    expect(bytes).toBe(Buffer.byteLength([body, ...parts].join('')))
  })

  it('comes back as it was, whatever its text, keys and headers are', () => {
    const name = fc
      .string({ unit: 'binary', minLength: 1 })
      .filter((one) => !/^(ce[-_]|malote-|cloudevents[:_]|content-type$|__proto__$)/i.test(one))
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(
        text,
        fc.dictionary(name, text),
        fc.string({ unit: 'binary', minLength: 1 }),
        (body, headers, key) => {
          const encoded = encode({ body, headers: { ...headers }, orderingKey: key })
          const message = decode(encoded)

          const back = {
            body: new TextDecoder('utf-8', { ignoreBOM: true }).decode(message.body),
            headers: { ...message.headers },
            key: message.orderingKey,
          }
          expect(back).toEqual({ body, headers: { ...headers }, key })
          const sent = [encoded.body, ...Object.values(encoded.attributes).map((value) => value.StringValue ?? '')]
          expect(sent.filter((one) => !allowed.test(one))).toEqual([])
        },
      ),
      { numRuns: propertyRuns(60) },
    )
  })
})

describe('what is no message of ours', () => {
  const ours = encode({}).attributes
  it.each([
    ['no attributes', {}, 'ce-id'],
    ['an empty id', { ...ours, 'ce-id': { DataType: 'String', StringValue: '' } }, 'ce-id'],
    [
      'packed headers that are no JSON',
      { ...ours, 'malote-headers': { DataType: 'String', StringValue: '{' } },
      'JSON',
    ],
    ['an unknown encoding', { ...ours, 'malote-body-encoding': { DataType: 'String', StringValue: 'gzip' } }, 'gzip'],
  ])('%s is undecodable, and the error says why', (_, attributes, why) => {
    expect(() => decodeMessage({ Body: 'x', MessageAttributes: attributes }, 'q')).toThrow(
      expect.objectContaining({ code: 'UNDECODABLE_MESSAGE', message: expect.stringContaining(why) as string }),
    )
  })

  it('a message wrapped by SNS says which setting is missing', () => {
    const Body = JSON.stringify({ Type: 'Notification', TopicArn: 'arn:aws:sns:x', Message: '{}' })

    expect(() => decodeMessage({ Body }, 'q')).toThrow(/raw message delivery/)
  })
})
