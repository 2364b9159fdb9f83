import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeEnvelope, encodeAttributes, encodeEnvelope, isReservedHeader } from '../src/adapter/index.ts'
import type { OutboxMessage } from '../src/index.ts'

const stored: OutboxMessage = {
  id: '01900000-0000-7000-8000-000000000001',
  topic: 'orders',
  type: 'order.accepted',
  orderingKey: 'account-1',
  headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tenant: 'ação' },
  body: '{"amount":1000}',
  contentType: 'application/json',
  createdAt: new Date('2026-11-20T12:00:00.123Z'),
  attempt: 1,
}
const options = { prefix: 'ce_', source: '/brokerage' }
const body = new TextEncoder().encode(String(stored.body))

describe('the envelope', () => {
  it('carries CloudEvents attributes that decode to the same message', () => {
    const received = decodeEnvelope(encodeEnvelope(stored, options), body, 'orders', 'ce_')

    const { attempt: _, body: __, ...sent } = stored
    expect(received).toMatchObject(sent)
    expect(received.json()).toEqual({ amount: 1000 })
  })

  it('lets no user header replace an attribute', () => {
    const spoofed = { ...stored, headers: { ce_id: 'spoofed', 'content-type': 'spoofed' } }

    expect(encodeEnvelope(spoofed, options)).toMatchObject({ ce_id: stored.id, 'content-type': 'application/json' })
  })

  it('leaves the content type out where the broker has a place of its own, and with it a header of that name', () => {
    const spoofed = { ...stored, headers: { ...stored.headers, 'content-type': 'spoofed' } }
    const { 'content-type': _, ...attributes } = encodeEnvelope(stored, options)

    expect(encodeAttributes(spoofed, options)).toEqual(attributes)
  })

  it.each(['ce_id', 'ce_type'])('refuses a delivery without %s', (name) => {
    const { [name]: _, ...headers } = encodeEnvelope(stored, options)

    expect(() => decodeEnvelope(headers, body, 'orders', 'ce_')).toThrow(
      expect.objectContaining({ code: 'UNDECODABLE_MESSAGE' }),
    )
  })

  it.each(['ce_', 'ce-', 'cloudEvents:', 'cloudEvents_'])('reads attributes that begin with %s', (prefix) => {
    const message = decodeEnvelope(encodeEnvelope(stored, { prefix, source: '/x' }), body, 'orders', 'ce_')

    expect(message).toMatchObject({ id: stored.id, orderingKey: 'account-1', attributes: { source: '/x' } })
    expect(message.headers).toEqual(stored.headers)
  })

  it('reads an event of others: any id, no time, with subject, schema and extensions', () => {
    const headers = { ce_id: 'A/17', ce_type: 't', ce_subject: 's', ce_dataschema: 'd', ce_tenant: 'b3' }

    const message = decodeEnvelope(headers, body, 'orders', 'ce_', new Date(1_000))

    expect(message).toMatchObject({ id: 'A/17', createdAt: new Date(1_000), headers: {} })
    expect(message.attributes).toMatchObject({ subject: 's', dataschema: 'd', tenant: 'b3' })
  })

  it.each([
    ['JSON', { data: { amount: 1 } }, '{"amount":1}', 'application/json'],
    ['text', { data: 'não', datacontenttype: 'text/plain' }, 'não', 'text/plain'],
    ['bytes', { data_base64: 'AAE=', datacontenttype: 'image/png' }, '\u0000\u0001', 'image/png'],
    ['nothing', {}, '', 'application/json'],
  ])('reads a structured event that carries %s', (_, data, text, contentType) => {
    const event = { specversion: '1.0', id: '7', source: '/x', type: 't', partitionkey: 'k', ...data }
    const headers = { 'content-type': 'application/cloudevents+json; charset=utf-8', tenant: 'b3' }

    const message = decodeEnvelope(headers, Buffer.from(JSON.stringify(event)), 'orders', 'ce_')

    expect(message).toMatchObject({ id: '7', type: 't', orderingKey: 'k', contentType, headers: { tenant: 'b3' } })
    expect(new TextDecoder().decode(message.body)).toBe(text)
  })

  it.each(['{', '[]', '{"id":"7"}'])('refuses %s as a structured event', (text) => {
    const headers = { 'content-type': 'application/cloudevents+json' }

    expect(() => decodeEnvelope(headers, Buffer.from(text), 'orders', 'ce_')).toThrow(
      expect.objectContaining({ code: 'UNDECODABLE_MESSAGE' }),
    )
  })

  it.each(['malote-attempts', 'Malote-Topic', 'ce-id', 'ce_type', 'cloudEvents:id', 'CE-Subject', 'cloudEvents_x'])(
    'carries no header of the reserved name %s, and gives none to a handler',
    (name) => {
      const wire = encodeEnvelope({ ...stored, headers: { [name]: 'forged' } }, options)

      expect(Object.values(wire)).not.toContain('forged')
      expect(decodeEnvelope({ ...wire, [name]: 'forged' }, body, 'orders', 'ce_').headers).toEqual({})
    },
  )

  it('lets no header take the place of an attribute, whatever prefix an adapter writes them with', () => {
    const names = ['specversion', 'id', 'source', 'type', 'time', 'partitionkey']
    const forged = Object.fromEntries(names.map((name) => [`x_${name}`, 'forged']))

    const wire = encodeEnvelope({ ...stored, headers: forged, orderingKey: 'k' }, { ...options, prefix: 'x_' })

    expect(wire).toMatchObject({ x_id: stored.id, x_type: stored.type, x_partitionkey: 'k' })
    expect(Object.values(wire)).not.toContain('forged')
  })

  it('refuses a body that is not JSON only when it is asked for JSON', () => {
    // No JSON, and a JSON string whose bytes are not UTF-8.
    for (const bytes of [[0x7b], [0x22, 0xff, 0x22]]) {
      const received = decodeEnvelope(encodeEnvelope(stored, options), new Uint8Array(bytes), 'orders', 'ce_')

      expect(() => received.json()).toThrow(expect.objectContaining({ code: 'UNDECODABLE_MESSAGE' }))
    }
  })

  it('keeps any headers, types and keys', () => {
    const names = fc
      .string({ minLength: 1 })
      .filter((name) => name !== 'content-type' && !isReservedHeader(name) && name !== '__proto__')
    fc.assert(
      fc.property(
        fc.dictionary(names, fc.string()),
        fc.string({ minLength: 1 }),
        fc.option(fc.string({ minLength: 1 })),
        (headers, type, orderingKey) => {
          const received = decodeEnvelope(
            encodeEnvelope({ ...stored, headers, type, orderingKey }, options),
            body,
            'orders',
            'ce_',
          )

          expect(received).toMatchObject({ headers: { ...headers }, type, orderingKey })
        },
      ),
    )
  })
})
