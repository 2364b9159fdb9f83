import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { sqsClient, type SqsService, startSqs } from '@malote/testing/services/sqs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createSqsPublisher } from '../src/index.ts'
import { type Queues, queuesOn } from './queues.ts'

let server: SqsService
let client: SQSClient
let queues: Queues
let requests = 0

beforeAll(async () => {
  server = await startSqs()
  client = sqsClient(server.endpoint)
  queues = queuesOn(client, server.endpoint, 'fifo')
  client.middlewareStack.add(
    (next, context) => (args) => {
      if (context.commandName === SendMessageBatchCommand.name) requests++
      return next(args)
    },
    {},
  )
})
afterAll(async () => {
  client.destroy()
  await server.close()
})

/** Ten messages of one key, the third of which the queue refuses. */
async function publishHotKey(ordering: 'strict' | 'fast') {
  const topic = await queues.make({ MaximumMessageSize: '1024' })
  const publisher = createSqsPublisher({ client, queueUrl: queues.urlOf, ordering })
  const batch = Array.from({ length: 10 }, (_, index) =>
    anOutboxMessage({ topic, orderingKey: 'hot', body: 'x'.repeat(index === 2 ? 2_000 : 1) }),
  )
  requests = 0
  const results = await publisher.publish(batch, new AbortController().signal)
  const held = await queues.drain(topic, 2, 5_000)
  return { accepted: results.filter((result) => result.status === 'accepted').length, held: held.length, results }
}

it('strict sends a key one message at a time, so nothing passes a refused one', async () => {
  const { accepted, held } = await publishHotKey('strict')

  expect({ accepted, held, requests }).toEqual({ accepted: 2, held: 2, requests: 3 })
})

it('fast sends a key in one request, so others may pass a refused one; they still count as not accepted', async () => {
  const { accepted, held, results } = await publishHotKey('fast')

  expect({ accepted, held, requests }).toEqual({ accepted: 2, held: 9, requests: 1 })
  expect(results[9]).toMatchObject({ failure: { kind: 'retryable', code: 'PREDECESSOR_FAILED' } })
})

it('messages of different keys share requests also when strict', async () => {
  const topic = await queues.make()
  const publisher = createSqsPublisher({ client, queueUrl: queues.urlOf })
  const batch = Array.from({ length: 100 }, (_, index) =>
    anOutboxMessage({ topic, orderingKey: `key-${String(index)}` }),
  )
  requests = 0

  await publisher.publish(batch, new AbortController().signal)

  expect(requests).toBe(10)
})
