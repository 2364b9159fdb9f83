import { CreateQueueCommand, DeleteMessageBatchCommand, type Message, ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import type { SQSClient } from '@aws-sdk/client-sqs'
import { preparing } from '@malote/testing/harness-error'
import { scaled } from '@malote/testing/slowness'
import { randomUUID } from 'node:crypto'

export type Flavour = 'standard' | 'fifo'

/** Queues named after their topic, on whatever SQS the tests run against. */
export interface Queues {
  readonly urlOf: (topic: string) => string
  /** A name that no queue has. */
  unusedName(): string
  /** Makes an empty queue and gives its name. */
  make(attributes?: Readonly<Record<string, string>>, name?: string): Promise<string>
  /** Takes messages from a queue until there are `count` and the queue is empty, or patience, that of a quiet machine, ends. */
  drain(topic: string, count: number, patienceMs: number): Promise<readonly Message[]>
}

export function queuesOn(client: SQSClient, endpoint: string, flavour: Flavour): Queues {
  const suffix = flavour === 'fifo' ? '.fifo' : ''
  const urlOf = (topic: string): string => `${endpoint}/000000000000/${topic}`
  const unusedName = (): string => `queue-${randomUUID().slice(0, 8)}${suffix}`

  async function receive(topic: string, waitSeconds: number): Promise<Message[]> {
    const request = new ReceiveMessageCommand({
      QueueUrl: urlOf(topic),
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: waitSeconds,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    })
    const answer = await preparing('receive from SQS', () => client.send(request))
    return answer.Messages ?? []
  }

  async function remove(topic: string, messages: readonly Message[]): Promise<void> {
    const Entries = messages.map((message, index) => ({ Id: String(index), ReceiptHandle: message.ReceiptHandle }))
    const request = new DeleteMessageBatchCommand({ QueueUrl: urlOf(topic), Entries })
    await preparing('delete from SQS', () => client.send(request))
  }

  return {
    urlOf,
    unusedName,
    make: async (attributes = {}, name = unusedName()) => {
      const fifo: Record<string, string> = name.endsWith('.fifo') ? { FifoQueue: 'true' } : {}
      const request = new CreateQueueCommand({ QueueName: name, Attributes: { ...attributes, ...fifo } })
      await preparing('make a queue', () => client.send(request))
      return name
    },
    drain: async (topic, count, patienceMs) => {
      const taken: Message[] = []
      const removing: Promise<void>[] = []
      const deadlineMs = performance.now() + scaled(patienceMs)
      for (;;) {
        const missing = taken.length < count && performance.now() < deadlineMs
        // The last look must not find a group closed by a message that is still being removed.
        if (!missing) await Promise.all(removing.splice(0))
        const messages = await receive(topic, missing ? 1 : 0)
        taken.push(...messages)
        if (messages.length > 0) removing.push(remove(topic, messages))
        else if (!missing) return taken
        else await Promise.all(removing.splice(0))
      }
    },
  }
}
