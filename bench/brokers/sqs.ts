import { CreateQueueCommand, PurgeQueueCommand, SendMessageBatchCommand } from '@aws-sdk/client-sqs'
import { createSqsPublisher } from '@malote/adapter-sqs'
import { sqsClient, startSqsProcess } from '@malote/testing/services/sqs'
import { payloadText, topic } from '../harness/load.ts'
import { type BrokerRig, envelopeOf, source } from './broker-rig.ts'

const requests = 16
const entries = 10

export async function createSqsRig(): Promise<BrokerRig> {
  const server = await startSqsProcess()
  const client = sqsClient(server.endpoint)
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: topic }))
  if (QueueUrl === undefined) throw new Error('the queue has no URL')
  return {
    name: 'sqs',
    configuration: `${server.origin}, a standard queue; alone: the AWS SDK, ${String(requests)} SendMessageBatch of ${String(entries)} in flight`,
    publisher: () => createSqsPublisher({ client, queueUrl: { [topic]: QueueUrl }, source }),
    reset: () => client.send(new PurgeQueueCommand({ QueueUrl })),
    publishAlone: async (count) => {
      let left = count
      await Promise.all(
        Array.from({ length: requests }, async () => {
          while (left > 0) {
            const size = Math.min(left, entries)
            left -= size
            const { Failed } = await client.send(
              new SendMessageBatchCommand({ QueueUrl, Entries: Array.from({ length: size }, (_, n) => anEntry(n)) }),
            )
            if (Failed !== undefined && Failed.length > 0)
              throw new Error(`SQS refused an entry: ${String(Failed[0]?.Code)}`)
          }
        }),
      )
    },
    close: async () => {
      client.destroy()
      await server.close()
    },
  }
}

function anEntry(n: number): {
  Id: string
  MessageBody: string
  MessageAttributes: Record<string, { DataType: string; StringValue: string }>
} {
  const attributes = Object.entries(envelopeOf('ce-').headers).map(([name, StringValue]) => [
    name,
    { DataType: 'String', StringValue },
  ])
  return { Id: String(n), MessageBody: payloadText, MessageAttributes: Object.fromEntries(attributes) }
}
