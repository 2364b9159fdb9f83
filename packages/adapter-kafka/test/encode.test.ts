import { deadLetterHeader } from '@malote/outbox-core'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { describe, expect, it } from 'vitest'
import type { FetchedRecord } from '../src/client.ts'
import { encodeDeadLetter } from '../src/dead-letter.ts'
import { decodeMessage } from '../src/decode.ts'
import { encodeMessage } from '../src/encode.ts'

const fetched = ({ key, value, headers }: ReturnType<typeof encodeMessage>): FetchedRecord => ({
  key: key === null ? null : Buffer.from(key),
  value,
  offset: '7',
  headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
})

describe('a record of a message', () => {
  it('is keyed by the ordering key, and by the id without one', () => {
    const keyed = anOutboxMessage({ orderingKey: 'account-1' })
    const loose = anOutboxMessage({ orderingKey: null })

    expect(encodeMessage(keyed, '/tests', 't').key).toBe('account-1')
    expect(encodeMessage(loose, '/tests', 't').key).toBe(loose.id)
    expect(decodeMessage(fetched(encodeMessage(loose, '/tests', 't')), 't').orderingKey).toBe(null)
  })

  it('remembers its topic only where the Kafka topic has another name', () => {
    const message = anOutboxMessage({ topic: 'orders' })

    const same = encodeMessage(message, '/tests', 'orders')
    const mapped = encodeMessage(message, '/tests', 'prod.orders')

    expect(Object.keys(same.headers)).not.toContain('malote-topic')
    expect(decodeMessage(fetched(mapped), 'prod.orders')).toMatchObject({ topic: 'orders', headers: message.headers })
  })

  it('shares the bytes of a body that is a part of a larger buffer, and no more of them', () => {
    const whole = new Uint8Array([1, 2, 3, 4, 5])

    expect([...(encodeMessage(anOutboxMessage({ body: whole.subarray(1, 3) }), '/tests', 't').value ?? [])]).toEqual([
      2, 3,
    ])
  })

  it('has the first of two headers of one name, and an empty body where Kafka has none', () => {
    const record = fetched(encodeMessage(anOutboxMessage({ body: '' }), '/tests', 't'))

    const message = decodeMessage({ ...record, value: null, headers: { ...record.headers, twice: ['a', 'b'] } }, 't')

    expect(message.headers).toMatchObject({ twice: 'a' })
    expect(message.body).toHaveLength(0)
  })
})

describe('a dead letter', () => {
  const note = { reason: 'PERMANENT', attempts: 2, error: 'x', source: 'orders', topic: 'orders', at: 'now' } as const
  const letter = { id: 'letter', note, form: 'whole' } as const

  it('is the record as it was, with the note', () => {
    const record = fetched(encodeMessage(anOutboxMessage({ orderingKey: 'a' }), '/tests', 'orders'))

    const encoded = encodeDeadLetter(record, letter)

    expect([encoded.key, encoded.value]).toEqual([record.key, record.value])
    expect(encoded.headers).toMatchObject({ ...record.headers, [deadLetterHeader]: JSON.stringify(note) })
  })

  it.each([
    ['bare', 'without the note', true, [true, false]],
    ['headless', 'without the headers', true, [false, true]],
    ['stub', 'without headers and body', false, [false, true]],
  ] as const)('too large, is sent %s: %s', (form, _, hasBody, [hasHeaders, hasNote]) => {
    const record = fetched(encodeMessage(anOutboxMessage({ orderingKey: 'a' }), '/tests', 'orders'))

    const { key, value, headers } = encodeDeadLetter(record, { ...letter, form })

    expect(key).toEqual(record.key)
    expect(value !== null).toBe(hasBody)
    expect(['ce_id' in headers, deadLetterHeader in headers]).toEqual([hasHeaders, hasNote])
  })

  it('sent back to its topic is a message again, without the note', () => {
    const message = anOutboxMessage({ headers: { tenant: 'b3' } })
    const record = fetched(encodeMessage(message, '/tests', 'orders'))

    const again = decodeMessage({ ...record, headers: encodeDeadLetter(record, letter).headers }, 'orders')

    expect(again).toMatchObject({ id: message.id, headers: { tenant: 'b3' } })
  })
})
