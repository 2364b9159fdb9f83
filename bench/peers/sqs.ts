import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  type Message,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'

/** Handlers that run beside each other, for everyone. */
export const concurrency = 50
/** So many requests of ten messages it takes to keep that many handlers busy. */
export const receivers: number = concurrency / 10
/** In seconds. */
export const longPoll = 1

/** Starts to take what waits in the queue; resolves to what stops it. */
export type Consume = (sqs: Sqs, queueUrl: string) => Promise<() => Promise<void>>

/** A server and a client of it. */
export interface Sqs {
  readonly client: SQSClient
  readonly endpoint: string
}

/** Applies one message. */
export type Apply = (id: string) => Promise<unknown>

export const idOf = ({ MessageAttributes }: Message): string => MessageAttributes?.['ce-id']?.StringValue ?? ''

/** As few lines as it takes: receive ten, apply them side by side, delete them together. */
export const byTheSdkAlone =
  (apply: Apply): Consume =>
  ({ client }, QueueUrl) => {
    const stopping = new AbortController()
    const request = {
      QueueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: longPoll,
      MessageAttributeNames: ['All'],
    }
    const receive = async (): Promise<void> => {
      while (!stopping.signal.aborted) {
        const { Messages = [] } = await client.send(new ReceiveMessageCommand(request))
        await Promise.all(Messages.map((message) => apply(idOf(message))))
        const Entries = Messages.map(({ ReceiptHandle }, at) => ({ Id: String(at), ReceiptHandle }))
        if (Entries.length > 0) await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
      }
    }
    const receiving = Promise.all(Array.from({ length: receivers }, receive))
    return Promise.resolve(async () => {
      stopping.abort()
      await receiving
    })
  }

export async function queueOn({ client, endpoint }: Sqs): Promise<string> {
  const QueueName = randomUUID()
  await client.send(new CreateQueueCommand({ QueueName }))
  return `${endpoint}/000000000000/${QueueName}`
}
