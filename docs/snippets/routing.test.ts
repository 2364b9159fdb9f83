import { anOutboxMessage, createMemoryBroker } from '@malote/outbox-core/testing'
import { expect, it } from 'vitest'
import { bothBrokers } from './routing.ts'

it('sends each topic to its broker', async () => {
  const [sqs, kafka] = [createMemoryBroker(), createMemoryBroker()]
  const batch = ['prices', 'mails', 'trades.settled'].map((topic) => anOutboxMessage({ topic }))

  await bothBrokers(sqs, kafka).publish(batch, new AbortController().signal)

  expect([sqs, kafka].map(({ accepted }) => accepted.map(({ topic }) => topic))).toEqual([
    ['mails'],
    ['prices', 'trades.settled'],
  ])
})
