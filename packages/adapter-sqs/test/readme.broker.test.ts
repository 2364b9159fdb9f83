import { CreateQueueCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import type { Consumer, DeliveryHandler, Publisher } from '@malote/outbox-core'
import { sqsClient, type SqsService, startSqs } from '@malote/testing/services/sqs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createSqsConsumer, createSqsPublisher } from '../src/index.ts'

let server: SqsService
let client: SQSClient

beforeAll(async () => {
  server = await startSqs()
  client = sqsClient(server.endpoint)
})
afterAll(async () => {
  client.destroy()
  await server.close()
})

async function queue(name: string): Promise<string> {
  await client.send(new CreateQueueCommand({ QueueName: name, Attributes: { FifoQueue: 'true' } }))
  return `${server.endpoint}/000000000000/${name}`
}

it('what the README shows carries a message from publisher to handler', async () => {
  const ordersUrl = await queue('orders.fifo')
  const deadOrdersUrl = await queue('dead-orders.fifo')
  const applied: string[] = []
  const publisher = ordersPublisher(client, ordersUrl)
  const consumer = await startConsumer(client, ordersUrl, deadOrdersUrl, async ({ message }) => {
    applied.push(message.id)
  })

  const message = anOutboxMessage({ topic: 'orders', orderingKey: 'account-1' })
  await publisher.publish([message], new AbortController().signal)
  await eventually(() => expect(applied).toEqual([message.id]))
  await consumer.stop()
})

// #region publisher
/** Hand it to `createRelay({ pool, publisher })`. */
function ordersPublisher(client: SQSClient, ordersUrl: string): Publisher {
  return createSqsPublisher({ client, source: '/brokerage/orders', queueUrl: { orders: ordersUrl } })
}
// #endregion

// #region consumer
/** `handler` makes its effect once, by an inbox. `stop()` the consumer on SIGTERM. */
async function startConsumer(
  client: SQSClient,
  ordersUrl: string,
  deadOrdersUrl: string,
  handler: DeliveryHandler,
): Promise<Consumer> {
  const consumer = createSqsConsumer({ client, queueUrl: ordersUrl, deadLetterQueueUrl: deadOrdersUrl, handler })
  await consumer.start()
  return consumer
}
// #endregion
