import { PermanentFailure } from '@malote/outbox-core'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { sqsClient, startSqs } from '@malote/testing/services/sqs'
import { expect, it } from 'vitest'
import { createSqsConsumer, createSqsPublisher, deadLetterNoteOf, redriveDeadLetters } from '../src/index.ts'
import { queuesOn } from './queues.ts'

it('a FIFO queue for dead letters keeps the letter of each service that shares it, and that of each death', async () => {
  const server = await startSqs()
  const client = sqsClient(server.endpoint)
  const queues = queuesOn(client, server.endpoint, 'fifo')
  const [orders, audit, dead] = [
    await queues.make(),
    await queues.make(),
    await queues.make({ VisibilityTimeout: '0' }),
  ]
  const publisher = createSqsPublisher({ client, queueUrl: queues.urlOf })
  const message = anOutboxMessage({ topic: orders, orderingKey: 'k' })
  let deaths = 0
  const consumers = [orders, audit].map((queue) =>
    createSqsConsumer({
      client,
      queueUrl: queues.urlOf(queue),
      deadLetterQueueUrl: queues.urlOf(dead),
      waitTimeMs: 1_000,
      handler: () => Promise.reject(new PermanentFailure('never')),
      onEvent: ({ type }) => void (deaths += type === 'message.dead-lettered' ? 1 : 0),
    }),
  )
  await publisher.publish([message, { ...message, topic: audit }], new AbortController().signal)

  await Promise.all(consumers.map((consumer) => consumer.start()))
  await eventually(() => expect(deaths).toBe(2))
  const back = { client, deadLetterQueueUrl: queues.urlOf(dead), queueUrl: queues.urlOf(orders), limit: 1 }
  expect(await redriveDeadLetters(back)).toMatchObject({ redriven: 1 })
  await eventually(() => expect(deaths).toBe(3))

  const letters = await queues.drain(dead, 2, 10_000)
  expect(letters.map(({ MessageAttributes }) => MessageAttributes?.['ce-id']?.StringValue)).toEqual([
    message.id,
    message.id,
  ])
  expect(letters.map((letter) => deadLetterNoteOf(letter)?.reason)).toEqual(['PERMANENT', 'PERMANENT'])
  await Promise.all([...consumers.map((consumer) => consumer.stop()), publisher.close()])
  client.destroy()
  await server.close()
})
