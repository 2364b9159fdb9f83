import { CreateQueueCommand, SendMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'
import { sqsClient } from './sqs.ts'

export type SqsLack = 'sizes' | 'attribute-sizes'

interface Lack {
  /** What the server does otherwise than SQS, in words for a report. */
  readonly words: string
  /** Whether the server still does: a case that was left out must come back when it does no more. */
  readonly isStillThere: (client: SQSClient) => Promise<boolean>
}

const [narrowBytes, moreBytes, sqsMaxBytes] = [1_024, 2_000, 1_048_576]
const long = { DataType: 'String', StringValue: 'x'.repeat(moreBytes) }

/** What a server of another make than SQS' may lack, by the name that `MALOTE_TEST_SQS_LACKS` has for it. */
export const sqsLacks: Readonly<Record<SqsLack, Lack>> = {
  /** ElasticMQ. */
  sizes: {
    words: 'has one limit for all queues, a lower one than SQS',
    isStillThere: async (client) =>
      (await takes(client, narrowBytes, { MessageBody: long.StringValue })) &&
      !(await takes(client, sqsMaxBytes, { MessageBody: 'x'.repeat(sqsMaxBytes) })),
  },
  /** moto. */
  'attribute-sizes': {
    words: "counts no attributes towards a queue's MaximumMessageSize",
    isStillThere: (client) => takes(client, narrowBytes, { MessageBody: '{}', MessageAttributes: { long } }),
  },
}

/** Whether the given server is said to lack it. */
export function isLacking(lack: SqsLack): boolean {
  return process.env['MALOTE_TEST_SQS_LACKS'] === lack
}

/** Asks the server whether it still lacks it. */
export async function stillLacks(endpoint: string, lack: SqsLack): Promise<boolean> {
  const client = sqsClient(endpoint)
  try {
    return await sqsLacks[lack].isStillThere(client)
  } finally {
    client.destroy()
  }
}

type Content = Pick<SendMessageCommand['input'], 'MessageBody' | 'MessageAttributes'>

/** @returns whether a queue of this MaximumMessageSize takes the message. @throws what is not about its size */
async function takes(client: SQSClient, maxBytes: number, content: Content): Promise<boolean> {
  const Attributes = { MaximumMessageSize: String(maxBytes) }
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: randomUUID(), Attributes }))
  return client.send(new SendMessageCommand({ QueueUrl, ...content })).then(
    () => true,
    (error: unknown) => {
      if (/shorter than|too ?long/i.test(String(error))) return false
      throw error
    },
  )
}
