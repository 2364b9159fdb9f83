import { anOutboxMessage } from '../../../packages/outbox-core/src/testing/index.ts'
import { expect, it } from 'vitest'
import type { Publisher } from '../library.ts'
import { curableTopic, curableType, curingPublisher } from '../roles/curing-publisher.ts'

const takesAll: Publisher = {
  name: 'takes all',
  close: () => Promise.resolve(),
  publish: (batch) => Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' }))),
}

const ofKey = (type: string) => anOutboxMessage({ topic: curableTopic, type, orderingKey: 'curable-0' })

it('sends what comes before an ill message: only that dies, and only what comes behind it waits', async () => {
  const batch = [ofKey('chaos.happened'), ofKey(curableType), ofKey('chaos.happened')]
  const results = await curingPublisher(takesAll).publish(batch, AbortSignal.timeout(1_000))
  const codes = batch.map(({ id }) => {
    const result = results.find((one) => one.id === id)
    return result?.status === 'failed' ? result.failure.code : result?.status
  })

  expect(codes).toEqual(['accepted', 'ILL', 'PREDECESSOR_FAILED'])
})
