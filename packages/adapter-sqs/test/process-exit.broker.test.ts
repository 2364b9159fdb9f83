import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { sqsClient, startSqsProcess } from '@malote/testing/services/sqs'
import { expect, it } from 'vitest'
import { createSqsConsumer, createSqsPublisher } from '../src/index.ts'
import { queuesOn } from './queues.ts'

it('a stopped consumer and a closed publisher leave no timer behind that keeps the process alive', async () => {
  const server = await startSqsProcess()
  const client = sqsClient(server.endpoint)
  const queues = queuesOn(client, server.endpoint, 'fifo')
  const [topic, dead] = [await queues.make(), await queues.make()]
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  let handled = 0
  const publisher = createSqsPublisher({ client, queueUrl: queues.urlOf })
  const consumer = createSqsConsumer({
    client,
    queueUrl: queues.urlOf(topic),
    deadLetterQueueUrl: queues.urlOf(dead),
    handler: () => Promise.resolve(void handled++),
  })

  await consumer.start()
  await publisher.publish([anOutboxMessage({ topic })], new AbortController().signal)
  await eventually(() => expect(handled).toBe(1))
  await consumer.stop()
  await publisher.close()

  await eventually(() => expect(timers()).toBeLessThanOrEqual(before), { patienceMs: 3_000 })
  client.destroy()
  await server.close()
})
