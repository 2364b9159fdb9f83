import { CreateTopicCommand, type SNSClient, SubscribeCommand } from '@aws-sdk/client-sns'
import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { snsClient, sqsClient, type SqsService, startSqs } from '@malote/testing/services/sqs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { decodeMessage } from '../src/decode.ts'
import { createSqsConsumer } from '../src/index.ts'
import { createSnsPublisher } from '../src/sns.ts'
import { type Queues, queuesOn } from './queues.ts'

let server: SqsService
let sns: SNSClient
let sqs: SQSClient
let queues: Queues

beforeAll(async () => {
  server = await startSqs()
  sns = snsClient(server.endpoint)
  sqs = sqsClient(server.endpoint)
  queues = queuesOn(sqs, server.endpoint, 'fifo')
})
afterAll(async () => {
  sns.destroy()
  sqs.destroy()
  await server.close()
})

/** A FIFO topic and queues subscribed to it. */
async function fanOut(count: number, raw = true): Promise<{ readonly topicArn: string; readonly names: string[] }> {
  const name = queues.unusedName()
  const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: name, Attributes: { FifoTopic: 'true' } }))
  const names: string[] = []
  for (let index = 0; index < count; index++) {
    const queue = await queues.make()
    const request = { QueueUrl: queues.urlOf(queue), AttributeNames: ['QueueArn' as const] }
    const { Attributes } = await sqs.send(new GetQueueAttributesCommand(request))
    const attributes = { RawMessageDelivery: String(raw) }
    const subscription = { TopicArn, Protocol: 'sqs', Endpoint: Attributes?.['QueueArn'], Attributes: attributes }
    await sns.send(new SubscribeCommand(subscription))
    names.push(queue)
  }
  return { topicArn: TopicArn, names }
}

const { signal } = new AbortController()

it('one publish reaches every subscribed queue, complete and in order per key', async () => {
  const { topicArn, names } = await fanOut(3)
  const publisher = createSnsPublisher({ client: sns, topicArn: { orders: topicArn } })
  const batch = Array.from({ length: 25 }, (_, index) =>
    anOutboxMessage({ orderingKey: index % 2 === 0 ? 'even' : 'odd', headers: { traceparent: '00-1' } }),
  )

  const results = await publisher.publish(batch, signal)

  expect(results.map((result) => result.status)).toEqual(batch.map(() => 'accepted'))
  for (const name of names) {
    const received = (await queues.drain(name, batch.length, 10_000)).map((raw) => decodeMessage(raw, 'orders'))
    for (const key of ['even', 'odd']) {
      const sent = batch.filter((message) => message.orderingKey === key).map((message) => message.id)
      expect(received.filter((message) => message.orderingKey === key).map((message) => message.id)).toEqual(sent)
    }
    expect(received[0]?.headers).toEqual({ traceparent: '00-1' })
  }
})

it('a message above the limit of SNS is refused with advice, as one that a raised topic would take, and its neighbours are accepted', async () => {
  const { topicArn, names } = await fanOut(1)
  const publisher = createSnsPublisher({ client: sns, topicArn: () => topicArn })
  const batch = [anOutboxMessage(), anOutboxMessage({ body: 'x'.repeat(300_000) }), anOutboxMessage()]

  const results = await publisher.publish(batch, signal)

  expect(results.map((result) => result.status)).toEqual(['accepted', 'failed', 'accepted'])
  expect(results[1]).toMatchObject({ failure: { kind: 'retryable', code: 'TOO_LARGE' } })
  expect(results[1]).toMatchObject({ failure: { message: expect.stringContaining('send a reference') as string } })
  expect(await queues.drain(names[0] ?? '', 2, 10_000)).toHaveLength(2)
})

it('a missing topic is unavailable', async () => {
  const publisher = createSnsPublisher({
    client: sns,
    topicArn: () => 'arn:aws:sns:us-east-1:000000000000:missing.fifo',
  })

  const [result] = await publisher.publish([anOutboxMessage()], signal)

  expect(result).toMatchObject({
    status: 'failed',
    failure: { kind: 'unavailable', destination: expect.stringContaining('missing') as string },
  })
})

it('a subscription without raw delivery shows as dead letters that name the missing setting', async () => {
  const { topicArn, names } = await fanOut(1, false)
  const deadLetters = await queues.make()
  const errors: unknown[] = []
  const consumer = createSqsConsumer({
    client: sqs,
    queueUrl: queues.urlOf(names[0] ?? ''),
    deadLetterQueueUrl: queues.urlOf(deadLetters),
    waitTimeMs: 0,
    handler: () => Promise.resolve(),
    onEvent: (event) => {
      if (event.type === 'message.dead-lettered') errors.push(event.error)
    },
  })

  await consumer.start()
  await createSnsPublisher({ client: sns, topicArn: () => topicArn }).publish([anOutboxMessage()], signal)
  await eventually(() => expect(String(errors[0])).toContain('raw message delivery'))
  await consumer.stop()

  expect(await queues.drain(deadLetters, 1, 5_000)).toHaveLength(1)
})
