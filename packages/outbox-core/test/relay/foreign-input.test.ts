import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRelay, inBatches, OutboxError } from '../../src/index.ts'
import { failureOf, resultsOf, wordsOf } from '../../src/relay/foreign-input.ts'
import { judge } from '../../src/relay/outcome.ts'
import { resolveRelayOptions } from '../../src/relay/resolved-options.ts'
import { createMemoryBroker, hostileResults } from '../../src/testing/index.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'

const throwing = {
  get message(): string {
    throw new Error('no words')
  },
  get code(): string {
    throw new Error('no code')
  },
}
const hostile = fc.oneof(
  fc.anything({ withBigInt: true, withNullPrototype: true, withDate: true, withSparseArray: true }),
  fc.constantFrom<unknown>(
    throwing,
    Symbol('s'),
    () => 'f',
    new Error('e'),
    Object.assign(new Error('e'), { message: undefined }),
  ),
)
const batch = [aBuffered(1, 'a'), aBuffered(2), aBuffered(3, 'a')]

describe('what a publisher resolves with', () => {
  it.each(['Accepted', 'ACCEPTED', 'ok', 'Failed', 'rejected', 'fulfilled', undefined, null, true, 200, {}])(
    'is an acceptance only when it says exactly so, which status %j does not',
    (status) => {
      const outcome = judge(
        batch,
        batch.map(({ message }) => ({ id: message.id, status })),
      )

      expect(outcome.accepted).toEqual([])
      expect(seqsOf(outcome.failed.map(({ message }) => message))).toEqual([1, 2])
      expect(outcome.failed[0]?.failure).toMatchObject({ kind: 'retryable', code: 'UNKNOWN_STATUS' })
    },
  )

  it.each(hostileResults)('accepts nothing and loses nothing: $name', ({ answer }) => {
    const given = answer(batch.map(({ message }) => message))
    if (!Array.isArray(given)) {
      expect(() => judge(batch, given)).toThrow(TypeError)
      return
    }

    const { accepted, failed, behind } = judge(batch, given)

    expect(accepted).toEqual([])
    expect(failed.length + behind.length).toBe(batch.length)
    for (const { failure } of failed) {
      expect(failure.code).toMatch(/^[^\0]{1,100}$/s)
      expect(failure.message.isWellFormed()).toBe(true)
      expect(failure.retryAfterMs ?? 0).toBeLessThan(2 ** 31)
    }
  })

  it.each([undefined, null, 'accepted', 3, {}, { length: 3 }, true])('%j says nothing of any message', (answer) => {
    expect(() => judge(batch, answer)).toThrow(TypeError)
  })

  it('never makes an acceptance of anything else, whatever it is', () => {
    const result = fc.oneof(
      hostile,
      fc.record({
        id: fc.constantFrom('1', '2', '3', '4'),
        status: fc.oneof(fc.constant('failed'), hostile),
        failure: hostile,
      }),
    )
    fc.assert(
      fc.property(fc.array(result), (results) => {
        const { accepted, failed, behind } = judge(batch, results)

        const said = new Set(
          results.flatMap((one) => {
            const { id, status } = (one ?? {}) as { id?: unknown; status?: unknown }
            return status === 'accepted' ? [id] : []
          }),
        )
        for (const { message } of accepted) expect(said).toContain(message.id)
        expect(accepted.length + failed.length + behind.length).toBe(batch.length)
      }),
    )
  })
})

describe('a failure of any make', () => {
  it.each<[string, unknown, object]>([
    ['a code that is a number', { kind: 'retryable', code: 429, message: 'slow' }, { code: '429', message: 'slow' }],
    ['no code and no words', { kind: 'permanent' }, { kind: 'permanent', code: 'UNKNOWN' }],
    ['a pause that is no number', { retryAfterMs: Number.NaN }, { retryAfterMs: undefined }],
    ['an endless pause', { retryAfterMs: Number.POSITIVE_INFINITY }, { retryAfterMs: 2 ** 31 - 1 }],
    ['a kind nobody knows', { kind: 'fatal', code: 'X', message: 'm' }, { kind: 'retryable' }],
    [
      'a destination that takes nothing',
      { kind: 'unavailable', destination: 'queue q', code: 'X', message: 'm' },
      { kind: 'unavailable', destination: 'queue q', code: 'X' },
    ],
    [
      'a destination whose name is no text',
      { kind: 'unavailable', destination: 7n, code: 'X', message: 'm' },
      { kind: 'unavailable', destination: '7' },
    ],
    ['words alone', 'throttled', { kind: 'retryable', message: 'throttled' }],
    [
      'an error',
      Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
      { code: 'ECONNREFUSED', message: 'refused' },
    ],
    ['half a character and NUL', { code: 'a\0b', message: '\ud800' }, { code: 'ab', message: '\ufffd' }],
    ['nothing', undefined, { kind: 'retryable', code: 'UNKNOWN' }],
  ])('(%s) can be stored', (_name, given, expected) => {
    expect({ retryAfterMs: undefined, ...failureOf(given) }).toMatchObject(expected)
  })

  it('has a known kind, a code, words, and a pause that a timer can count', () => {
    fc.assert(
      fc.property(
        fc.oneof(hostile, fc.record({ kind: hostile, code: hostile, message: hostile, retryAfterMs: hostile })),
        (given) => {
          const { kind, code, message, retryAfterMs = 0 } = failureOf(given)

          expect(['retryable', 'permanent', 'unavailable']).toContain(kind)
          expect(code).toMatch(/^[^\0]{1,100}$/s)
          expect(message).toMatch(/^[^\0]{1,1000}$/s)
          expect(retryAfterMs).toBeGreaterThanOrEqual(0)
          expect(retryAfterMs).toBeLessThan(2 ** 31)
        },
      ),
    )
  })

  it('never makes the reading of it throw', () => {
    fc.assert(
      fc.property(hostile, (given) => {
        expect(typeof wordsOf(given)).toBe('string')
        expect(Array.isArray(resultsOf([given]))).toBe(true)
      }),
    )
  })
})

describe('callbacks and options', () => {
  const pool = { connect: () => Promise.reject(new Error('no database')) }
  const options = { pool, publisher: createMemoryBroker() }

  it.each(['Hold', 'SKIP', '', null, 1])('afterDeadLetter %j is refused', (afterDeadLetter) => {
    expect(() => createRelay({ ...options, afterDeadLetter: afterDeadLetter as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    )
  })

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['returns nothing', () => undefined],
    ['says Hold', () => 'Hold'],
    ['is async', () => Promise.reject(new Error('no'))],
  ])('an afterDeadLetter that %s holds the key', (_name, afterDeadLetter) => {
    expect(resolveRelayOptions({ ...options, afterDeadLetter: afterDeadLetter as never }).afterDeadLetter('t')).toBe(
      'hold',
    )
  })

  it('an async onEvent that rejects leaves no rejection behind', async () => {
    const rejecting: unknown = () => Promise.reject(new Error('no'))
    const unhandled: unknown[] = []
    const note = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', note)
    resolveRelayOptions({ ...options, onEvent: rejecting as () => void }).report({
      type: 'database.reconnected',
    })
    resolveRelayOptions({ ...options, backoff: (() => Promise.reject(new Error('no'))) as never }).backoff(1)

    await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', note)

    expect(unhandled).toEqual([])
  })

  it.each(['publishTimeoutMs', 'leaseMs', 'pollIntervalMs', 'rescanIntervalMs', 'databaseTimeoutMs'])(
    '%s of more than a timer can count is refused: it would fire at once',
    (name) => {
      expect(() => createRelay({ ...options, [name]: 2 ** 31 })).toThrow(OutboxError)
      expect(() => createRelay({ ...options, [name]: 2 ** 31 - 1 })).not.toThrow()
    },
  )

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 1.5, '100', null])(
    'stop refuses graceMs %j, and stops nothing',
    async (graceMs) => {
      const relay = createRelay(options)

      await expect(relay.stop({ graceMs: graceMs as number })).rejects.toMatchObject({ code: 'INVALID_OPTION' })
      await expect(relay.runOnce()).rejects.toThrow('no database')
    },
  )

  it.each([undefined, null, [undefined], [{}], [{ status: 'Fulfilled' }], 7])(
    'inBatches takes outcomes %j for failures',
    async (outcomes) => {
      await expect(inBatches(() => Promise.resolve(outcomes as never))(1)).rejects.toThrow(TypeError)
    },
  )
})
