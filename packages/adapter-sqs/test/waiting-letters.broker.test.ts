import { PermanentFailure } from '@malote/outbox-core'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { sqsClient, startSqsProcess } from '@malote/testing/services/sqs'
import { expect, it } from 'vitest'
import { createSqsConsumer, createSqsPublisher } from '../src/index.ts'
import { queuesOn } from './queues.ts'

it('dead letters whose queue is away leave their places to other messages, and arrive when the queue is back', async () => {
  const server = await startSqsProcess()
  const client = sqsClient(server.endpoint)
  const queues = queuesOn(client, server.endpoint, 'fifo')
  const [topic, dead] = [await queues.make(), queues.unusedName()]
  const publisher = createSqsPublisher({ client, queueUrl: queues.urlOf })
  const doomed = Array.from({ length: 12 }, (_, number) =>
    anOutboxMessage({ topic, orderingKey: `dead-${String(number)}` }),
  )
  const good = anOutboxMessage({ topic, orderingKey: 'good' })
  await publisher.publish([...doomed, good], new AbortController().signal)
  const calls: string[] = []
  const consumer = createSqsConsumer({
    client,
    queueUrl: queues.urlOf(topic),
    deadLetterQueueUrl: queues.urlOf(dead),
    concurrency: 2,
    handler: async ({ message }) => {
      calls.push(message.id)
      if (message.id !== good.id) throw new PermanentFailure('never')
    },
  })
  await consumer.start()

  await eventually(() => expect(calls).toContain(good.id))
  await queues.make({}, dead)

  const letters = await queues.drain(dead, doomed.length, 60_000)
  expect(letters).toHaveLength(doomed.length)
  expect(calls).toHaveLength(doomed.length + 1)
  await Promise.all([consumer.stop(), publisher.close()])
  await server.close()
})
