import { describe, expect, it, vi } from 'vitest'
import { encodeMessage, isJson } from '../src/encode.ts'
import { exponentialBackoff, isUuid, uuidv7 } from '../src/index.ts'
import { quoteIdentifier, schemaOption } from '../src/postgres/index.ts'

describe('encoding', () => {
  it('a user header wins over the trace context of the same name', () => {
    const row = encodeMessage(
      { topic: 't', type: 'x', payload: 1, headers: { traceparent: 'mine' } },
      {
        traceparent: 'theirs',
        tracestate: 's',
      },
    )

    expect(row.headers).toEqual({ traceparent: 'mine', tracestate: 's' })
  })

  it('a string payload is JSON unless the content type says otherwise', () => {
    expect(encodeMessage({ topic: 't', type: 'x', payload: 'a' }, {}).payload).toBe('"a"')
    expect(encodeMessage({ topic: 't', type: 'x', payload: 'a', contentType: 'text/plain' }, {}).payload).toBe('a')
  })

  it.each<[string, object]>([
    ['an id that is not a UUID', { id: 'order-1' }],
    ['a NUL in the topic', { topic: 'a\0b' }],
    ['a NUL in the key', { orderingKey: 'a\0b' }],
    ['half a surrogate pair in the type', { type: '\ud800' }],
    // A topic and a key are told apart by a line break: with one in it, two streams would be one.
    ['a line break in the topic', { topic: 'a\nb' }],
    ['a key that is empty', { orderingKey: '' }],
  ])('%s is refused, and the field is named', (_, change) => {
    const message = { topic: 't', type: 'x', payload: 1, ...change }

    expect(() => encodeMessage(message, {})).toThrow(expect.objectContaining({ code: 'INVALID_MESSAGE' }))
    expect(() => encodeMessage(message, {})).toThrow(new RegExp(`"${String(Object.keys(change)[0])}"`))
  })

  it.each([undefined, () => 1, Symbol('s'), 1n])('a payload without a JSON form is refused: %s', (payload) => {
    expect(() => encodeMessage({ topic: 't', type: 'x', payload }, {})).toThrow(
      expect.objectContaining({ code: 'UNSERIALIZABLE_PAYLOAD' }),
    )
  })

  it.each([
    ['application/json', true],
    ['application/json; charset=utf-8', true],
    ['application/cloudevents+json', true],
    ['text/plain', false],
    ['application/jsonl', false],
  ])('%s is JSON: %s', (contentType, expected) => {
    expect(isJson(contentType)).toBe(expected)
  })
})

it.each(['malote-attempts', 'ce-id', 'ce_type', 'cloudEvents:id', 'CE-Id'])('a header named %s is refused', (name) => {
  expect(() => encodeMessage({ topic: 't', type: 'x', payload: 1, headers: { [name]: 'x' } }, {})).toThrow(
    expect.objectContaining({ code: 'INVALID_MESSAGE', message: expect.stringContaining(name) as string }),
  )
})

describe('ids', () => {
  it('are well formed from the first one on, also at the beginning of time', async () => {
    vi.resetModules()
    const fresh = await import('../src/uuid.ts')

    expect(fresh.uuidv7(0)).toMatch(/^00000000-0000-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('are UUIDv7 in rising order, also within a millisecond and when the clock goes back', () => {
    const ids = [...Array.from({ length: 5_000 }, () => uuidv7(1_000_000)), uuidv7(999_999), uuidv7()]

    expect(ids.every((id) => isUuid(id) && id[14] === '7' && /[89ab]/.test(id[19] ?? ''))).toBe(true)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.toSorted()).toEqual(ids)
  })
})

describe('backoff', () => {
  it('draws between nothing and a ceiling that doubles up to its maximum', () => {
    const highest = exponentialBackoff({ baseMs: 100, maxMs: 1_000, random: () => 0.999999 })
    const lowest = exponentialBackoff({ baseMs: 100, random: () => 0 })

    expect([1, 2, 3, 4, 5, 1_000].map(highest)).toEqual([99, 199, 399, 799, 999, 999])
    expect(lowest(5)).toBe(0)
  })

  it('refuses a maximum below its base', () => {
    expect(() => exponentialBackoff({ baseMs: 100, maxMs: 10 })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    )
  })
})

describe('schema names', () => {
  it.each(['', 'x'.repeat(64), 'a\0b', 'ç'.repeat(32)])('%j is refused', (name) => {
    expect(() => schemaOption(name)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }))
  })

  it('are quoted whatever is in them', () => {
    expect(quoteIdentifier('a"; drop table x; --')).toBe('"a""; drop table x; --"')
  })
})
