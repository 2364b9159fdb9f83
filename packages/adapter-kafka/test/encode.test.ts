import { PermanentFailure } from '@malote/outbox-core'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { describe, expect, it } from 'vitest'
import type { FetchedRecord } from '../src/client.ts'
import { encodeDeadLetter } from '../src/dead-letter.ts'
import { decodeRecord } from '../src/decode.ts'
import { encodeRecord } from '../src/encode.ts'

const fetched = ({ key, value, headers }: ReturnType<typeof encodeRecord>): FetchedRecord => ({
  key: key === null ? null : Buffer.from(key),
  value,
  offset: '7',
  headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
})

describe('a record of a message', () => {
  it('is keyed by the ordering key, and by the id without one', () => {
    const keyed = anOutboxMessage({ orderingKey: 'account-1' })
    const loose = anOutboxMessage({ orderingKey: null })

    expect(encodeRecord(keyed, '/tests', 't').key).toBe('account-1')
    expect(encodeRecord(loose, '/tests', 't').key).toBe(loose.id)
    expect(decodeRecord(fetched(encodeRecord(loose, '/tests', 't')), 't').orderingKey).toBe(null)
  })

  it('remembers its topic only where the Kafka topic has another name', () => {
    const message = anOutboxMessage({ topic: 'orders' })

    const same = encodeRecord(message, '/tests', 'orders')
    const mapped = encodeRecord(message, '/tests', 'prod.orders')

    expect(Object.keys(same.headers)).not.toContain('malote-topic')
    expect(decodeRecord(fetched(mapped), 'prod.orders')).toMatchObject({ topic: 'orders', headers: message.headers })
  })

  it('shares the bytes of a body that is a part of a larger buffer, and no more of them', () => {
    const whole = new Uint8Array([1, 2, 3, 4, 5])

    expect([...(encodeRecord(anOutboxMessage({ body: whole.subarray(1, 3) }), '/tests', 't').value ?? [])]).toEqual([
      2, 3,
    ])
  })

  it('has the first of two headers of one name, and an empty body where Kafka has none', () => {
    const record = fetched(encodeRecord(anOutboxMessage({ body: '' }), '/tests', 't'))

    const message = decodeRecord({ ...record, value: null, headers: { ...record.headers, twice: ['a', 'b'] } }, 't')

    expect(message.headers).toMatchObject({ twice: 'a' })
    expect(message.body).toHaveLength(0)
  })
})

describe('a dead letter', () => {
  it('is the record as it was, with the reason, the attempts and the place it came from', () => {
    const record = fetched(encodeRecord(anOutboxMessage({ orderingKey: 'a' }), '/tests', 'orders'))
    const error = new PermanentFailure('x'.repeat(2_000))

    const letter = encodeDeadLetter({ record, topic: 'orders', partition: 3, attempt: 2, reason: 'PERMANENT', error })

    expect([letter.key, letter.value]).toEqual([record.key, record.value])
    expect(letter.headers).toMatchObject({
      ce_id: record.headers?.['ce_id'],
      'malote-dead-letter-reason': 'PERMANENT',
      'malote-attempts': '2',
      'malote-dead-letter-source': 'orders',
      'malote-dead-letter-partition': '3',
      'malote-dead-letter-offset': '7',
    })
    expect(String(letter.headers['malote-dead-letter-error'])).toHaveLength(500)
  })

  it('sent back to its topic is a message again, without the notes', () => {
    const message = anOutboxMessage({ headers: { tenant: 'b3' } })
    const record = fetched(encodeRecord(message, '/tests', 'orders'))
    const letter = encodeDeadLetter({
      record,
      topic: 'orders',
      partition: 0,
      attempt: 5,
      reason: 'MAX_ATTEMPTS',
      error: 1,
    })

    const again = decodeRecord({ ...record, headers: letter.headers }, 'orders')

    expect(again).toMatchObject({ id: message.id, headers: { tenant: 'b3' } })
  })
})
