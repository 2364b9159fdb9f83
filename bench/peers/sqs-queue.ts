import { createSqsPublisher } from '@malote/adapter-sqs'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { payloadText } from '../harness/load.ts'
import { queueOn, type Sqs } from './sqs.ts'

/** A queue with `count` messages of so many keys, in turn. */
export async function filledQueue(sqs: Sqs, count: number, keys: number): Promise<string> {
  const { client } = sqs
  const queueUrl = await queueOn(sqs)
  const publisher = createSqsPublisher({ client, queueUrl: () => queueUrl, source: '/bench' })
  const messages = Array.from({ length: count }, (_, at) =>
    anOutboxMessage({ topic: 'orders', orderingKey: `account-${String(at % keys)}`, body: payloadText }),
  )
  const results = await publisher.publish(messages, new AbortController().signal)
  await publisher.close()
  if (results.some(({ status }) => status === 'failed')) throw new Error('not all messages were accepted')
  return queueUrl
}
