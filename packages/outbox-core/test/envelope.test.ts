import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeEnvelope, encodeAttributes, encodeEnvelope } from '../src/adapter/index.ts'
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

  it.each(['ce_id', 'ce_type', 'ce_time'])('refuses a delivery without %s', (name) => {
    const { [name]: _, ...headers } = encodeEnvelope(stored, options)

    expect(() => decodeEnvelope(headers, body, 'orders', 'ce_')).toThrow(
      expect.objectContaining({ code: 'UNDECODABLE_MESSAGE' }),
    )
  })

  it('refuses a body that is not JSON only when it is asked for JSON', () => {
    const received = decodeEnvelope(encodeEnvelope(stored, options), new Uint8Array([0xff]), 'orders', 'ce_')

    expect(() => received.json()).toThrow(expect.objectContaining({ code: 'UNDECODABLE_MESSAGE' }))
  })

  it('keeps any headers, types and keys', () => {
    const names = fc
      .string({ minLength: 1 })
      .filter((name) => name !== 'content-type' && !name.startsWith('ce_') && name !== '__proto__')
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
