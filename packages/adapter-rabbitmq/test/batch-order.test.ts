import { anOutboxMessage } from '@malote/outbox-core/testing'
import type { OutboxMessage, PublishFailure } from '@malote/outbox-core'
import { describe, expect, it } from 'vitest'
import { createBatchOrder } from '../src/batch-order.ts'

const failure: PublishFailure = { kind: 'retryable', code: 'NACKED', message: 'full' }

/** One message for each letter: its key; `-` has none. */
const batchOf = (keys: string): OutboxMessage[] =>
  Array.from(keys, (key) => anOutboxMessage({ orderingKey: key === '-' ? null : key }))

describe('the order of a batch', () => {
  it('offers the first of each key and everything without a key, the next of a key when it was accepted', () => {
    const order = createBatchOrder(batchOf('aab-'), 'strict')

    expect([order.next(), order.next(), order.next(), order.next()]).toEqual([0, 2, 3, undefined])
    order.accepted(0)

    expect([order.next(), order.next()]).toEqual([1, undefined])
  })

  it('offers everything at once in batch order when it is fast', () => {
    const order = createBatchOrder(batchOf('aab-'), 'fast')

    expect([order.next(), order.next(), order.next(), order.next(), order.next()]).toEqual([0, 1, 2, 3, undefined])
  })

  it.each(['strict', 'fast'] as const)(
    'fails what follows a failed message in its key, and nothing else: %s',
    (ordering) => {
      const order = createBatchOrder(batchOf('aaab'), ordering)
      order.accepted(0)
      order.failed(1, failure)
      order.accepted(3)

      expect(order.results().map((result) => (result.status === 'failed' ? result.failure.code : 'accepted'))).toEqual([
        'accepted',
        'NACKED',
        'PREDECESSOR_FAILED',
        'accepted',
      ])
    },
  )

  it('keeps a failure behind a failed message although the broker accepts it later', () => {
    const order = createBatchOrder(batchOf('aa'), 'fast')
    order.failed(0, failure)
    order.accepted(1)

    expect(order.results()[1]).toMatchObject({ status: 'failed', failure: { code: 'PREDECESSOR_FAILED' } })
  })

  it('offers what was put back before all others, in batch order', () => {
    const order = createBatchOrder(batchOf('---'), 'strict')
    order.next()
    order.next()
    order.putBack([1, 0])

    expect([order.next(), order.next(), order.next(), order.next()]).toEqual([0, 1, 2, undefined])
  })

  it('never offers what has a result, and goes on offering after it had nothing to offer', () => {
    const order = createBatchOrder(batchOf('aa'), 'strict')
    order.next()
    expect([order.next(), order.next()]).toEqual([undefined, undefined])
    order.putBack([0])
    order.accepted(0)

    expect(order.next()).toBe(1)
  })

  it('fails the rest with the failure itself', () => {
    const order = createBatchOrder(batchOf('aa'), 'strict')
    order.failRest(failure)

    expect(order.results().every((result) => result.status === 'failed' && result.failure.code === 'NACKED')).toBe(true)
    expect(order.unsettled()).toEqual([])
  })
})
