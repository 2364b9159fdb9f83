import { anOutboxMessage } from '@malote/outbox-core/testing'
import { describe, expect, it } from 'vitest'
import { encodeMessage, recordBytes } from '../src/encode.ts'
import { type Outgoing, requestsOf, splitRequest } from '../src/requests.ts'

function outgoing(orderingKey: string | null, bytes = 100, refused: Outgoing['refused'] = null): Outgoing {
  const message = anOutboxMessage({ topic: 't', orderingKey })
  return { message, topic: 't', record: encodeMessage(message, '/tests', 't'), bytes, refused }
}
const keysOf = (request: readonly Outgoing[]): unknown[] => request.map((item) => item.record.key)

describe('dividing messages into requests', () => {
  it('a request stays within the byte limit and keeps the order', () => {
    const items = [outgoing('a', 400), outgoing('b', 400), outgoing('c', 400)]

    expect(requestsOf(items, 1_000).map(keysOf)).toEqual([['a', 'b'], ['c']])
  })

  it('a record over the limit has a request of its own', () => {
    const items = [outgoing('a', 10), outgoing('b', 5_000), outgoing('c', 10)]

    expect(requestsOf(items, 1_000).map(keysOf)).toEqual([['a'], ['b'], ['c']])
  })

  it('a refused record stands alone in its place', () => {
    const refused = { kind: 'permanent', code: 'TOO_LARGE', message: '' } as const

    expect(requestsOf([outgoing('a'), outgoing('b', 10, refused), outgoing('c')], 10_000).map(keysOf)).toEqual([
      ['a'],
      ['b'],
      ['c'],
    ])
  })

  it('a refused request of several keys is divided by key, each whole and in order', () => {
    const request = Array.from({ length: 40 }, (_, n) => outgoing(`key-${String(n % 20)}`))

    const pieces = splitRequest(request)

    expect(pieces).toHaveLength(7)
    for (const item of request) {
      const piece = pieces.find((each) => each.includes(item)) ?? []
      const ofKey = piece.filter((each) => each.record.key === item.record.key)
      expect(ofKey).toEqual(request.filter((each) => each.record.key === item.record.key))
    }
  })

  it('a refused request of one key is divided by position', () => {
    const request = Array.from({ length: 20 }, () => outgoing('a'))

    const pieces = splitRequest(request)

    expect(pieces.flat()).toEqual(request)
    expect(Math.max(...pieces.map((piece) => piece.length))).toBe(3)
  })
})

describe('the size of a record', () => {
  it('counts key, body and headers in bytes, not characters', () => {
    const small = encodeMessage(anOutboxMessage({ body: 'a'.repeat(100), headers: { h: 'x' } }), '/tests', 't')
    const large = encodeMessage(anOutboxMessage({ body: 'ç'.repeat(100), headers: { h: 'é' } }), '/tests', 't')

    expect(recordBytes(large) - recordBytes(small)).toBe(101)
  })
})
