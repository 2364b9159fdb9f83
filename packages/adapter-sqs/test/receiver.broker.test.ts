import { ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { sqsClient, startSqsProcess } from '@malote/testing/services/sqs'
import { expect, it } from 'vitest'
import { createSqsConsumer, createSqsPublisher } from '../src/index.ts'
import { queuesOn } from './queues.ts'

/** Passes everything on, and counts the requests for messages that are under way. */
function countingReceives(client: SQSClient): {
  client: Pick<SQSClient, 'send'>
  now: () => number
  most: () => number
} {
  let now = 0
  let most = 0
  const send = async (command: unknown, options?: unknown): Promise<unknown> => {
    const isReceive = command instanceof ReceiveMessageCommand
    if (isReceive) most = Math.max(most, ++now)
    try {
      return await client.send(command as never, options as never)
    } finally {
      if (isReceive) now--
    }
  }
  return { client: { send: send as SQSClient['send'] }, now: () => now, most: () => most }
}

it('an idle consumer has one request waiting, however high its concurrency; a backlog has several, and then one again', async () => {
  const server = await startSqsProcess()
  const client = sqsClient(server.endpoint)
  const queues = queuesOn(client, server.endpoint, 'standard')
  const [topic, dead] = [await queues.make(), await queues.make()]
  const publisher = createSqsPublisher({ client, queueUrl: queues.urlOf })
  const receives = countingReceives(client)
  const handled = new Set<string>()
  const consumer = createSqsConsumer({
    client: receives.client,
    queueUrl: queues.urlOf(topic),
    deadLetterQueueUrl: queues.urlOf(dead),
    concurrency: 50,
    handler: ({ message }) => Promise.resolve(void handled.add(message.id)),
  })
  const publish = async (count: number): Promise<void> => {
    const batch = Array.from({ length: count }, () => anOutboxMessage({ topic, orderingKey: null }))
    await publisher.publish(batch, new AbortController().signal)
  }

  await consumer.start()
  await publish(1)
  await eventually(() => expect(handled.size).toBe(1))
  const mostWhenIdle = receives.most()
  await publish(1_000)
  await eventually(() => expect(handled.size).toBe(1_001), { patienceMs: 20_000 })
  const mostUnderLoad = receives.most()
  // Those that found the queue empty come back one by one as messages trickle in.
  for (let count = 0; count < 6; count++) {
    const before = handled.size
    await publish(1)
    await eventually(() => expect(handled.size).toBe(before + 1))
  }
  await eventually(() => expect(receives.now()).toBe(1))

  await consumer.stop()
  await publisher.close()
  client.destroy()
  await server.close()
  expect(mostWhenIdle).toBe(1)
  expect(mostUnderLoad).toBeGreaterThan(1)
  expect(mostUnderLoad).toBeLessThanOrEqual(5)
})
