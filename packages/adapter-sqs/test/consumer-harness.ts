import {
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { type Consumer, readDeadLetterNote } from '@malote/outbox-core'
import type { Absences, ConsumerHarness, HeldDeadLetter } from '@malote/outbox-core/testing'
import { eventually } from '@malote/outbox-core/testing'
import { preparing } from '@malote/testing/harness-error'
import { givenSqsEndpoint, sqsClient, startSqs, startSqsProcess } from '@malote/testing/services/sqs'
import { isLacking, sqsLacks } from '@malote/testing/services/sqs-lacks'
import { scaled } from '@malote/testing/slowness'
import { startTcpProxy } from '@malote/testing/tcp-proxy'
import { randomUUID } from 'node:crypto'
import { textAttributes } from '../src/decode.ts'
import { createSqsConsumer, createSqsPublisher, redriveDeadLetters } from '../src/index.ts'
import { sqsMaxBytes } from '../src/options.ts'
import { type Flavour, type Queues, queuesOn } from './queues.ts'

export interface SqsConsumerHarness extends ConsumerHarness {
  close(): Promise<void>
}

const noOrder = 'a standard queue promises no order and gives a failed message again behind others'

const noSizes = `the server ${sqsLacks.sizes.words}`

const notOurs: Absences<ConsumerHarness> = {
  ...(givenSqsEndpoint() === null ? {} : { stopBroker: 'the server was given to us and is not ours to stop' }),
  ...(isLacking('sizes') ? { sendLargest: noSizes, narrowDeadLetterPlace: noSizes } : {}),
  ...(isLacking('attribute-sizes') ? { narrowDeadLetterPlace: `the server ${sqsLacks['attribute-sizes'].words}` } : {}),
}

export const consumerAbsences: Readonly<Record<Flavour, Absences<ConsumerHarness>>> = {
  fifo: {
    ...notOurs,
    takesStreamsInBatches:
      'the emulator hands over one message of a group at a time; with several, as AWS gives them: handle-message.test.ts',
  },
  standard: {
    ...notOurs,
    ordersByKey: noOrder,
    ordersRetries: noOrder,
    ordersAcrossConsumers: noOrder,
  },
}

/** A machine so busy that the consumer cannot prolong it in time would see its messages come again. SQS counts seconds. */
const visibilityTimeoutMs = Math.max(2_000, Math.ceil(scaled(700) / 1_000) * 1_000)

/** Every consumer reaches the server through a proxy of its own, so that a crash can cut off this one and no other. */
export async function openConsumerHarness(
  flavour: Flavour,
  { consumerStore }: Pick<ConsumerHarness, 'consumerStore'> = {},
): Promise<SqsConsumerHarness> {
  const ours = givenSqsEndpoint() === null ? await startSqsProcess() : null
  const server = ours ?? (await startSqs())
  const direct = sqsClient(server.endpoint)
  const queues = queuesOn(direct, server.endpoint, flavour)
  const publisher = createSqsPublisher({ client: direct, queueUrl: queues.urlOf, characters: 'bmp' })
  const consumers = createProxiedConsumers(server.port, queues)
  const sendForeign = async (topic: string, body: string): Promise<void> => {
    const group = { MessageGroupId: 'foreign', MessageDeduplicationId: randomUUID() }
    const message = { QueueUrl: queues.urlOf(topic), MessageBody: body, ...(flavour === 'fifo' ? group : {}) }
    await preparing('send a foreign message', () => direct.send(new SendMessageCommand(message)))
  }
  return {
    redeliveryMs: visibilityTimeoutMs * 2,
    patienceMs: 20_000,
    holdTimeoutMs: visibilityTimeoutMs,
    ...(consumerStore === undefined ? {} : { consumerStore }),
    ...(flavour === 'standard' ? { takesStreamsInBatches: true } : {}),
    ...(flavour === 'fifo' ? { ordersByKey: true, ordersRetries: true, ordersAcrossConsumers: true } : {}),
    freshTopic: async () => {
      const topic = await queues.make()
      await queues.make({ VisibilityTimeout: '0' }, deadLettersOf(topic))
      return topic
    },
    createConsumer: consumers.create,
    crash: consumers.crash,
    send: (messages) =>
      eventually(
        async () => {
          const results = await publisher.publish(messages, new AbortController().signal)
          if (results.some((result) => result.status === 'failed')) throw new Error('not all messages were accepted')
        },
        { intervalMs: 100 },
      ),
    sendForeign,
    sendLargest: async (topic) => {
      const body = 'x'.repeat(sqsMaxBytes)
      await sendForeign(topic, body)
      return body
    },
    narrowDeadLetterPlace: async (topic) => {
      const QueueUrl = queues.urlOf(deadLettersOf(topic))
      const request = new SetQueueAttributesCommand({ QueueUrl, Attributes: { MaximumMessageSize: '2000' } })
      await preparing('narrow a queue', () => direct.send(request))
    },
    deadLetters: (topic) => deadLettersIn(direct, queues.urlOf(deadLettersOf(topic))),
    removeDeadLetterPlace: async (topic) => {
      const request = new DeleteQueueCommand({ QueueUrl: queues.urlOf(deadLettersOf(topic)) })
      await preparing('delete a queue', () => direct.send(request))
    },
    restoreDeadLetterPlace: async (topic) => void (await queues.make({ VisibilityTimeout: '0' }, deadLettersOf(topic))),
    redrive: (topic, options) =>
      redriveDeadLetters({
        client: direct,
        queueUrl: queues.urlOf(topic),
        deadLetterQueueUrl: queues.urlOf(deadLettersOf(topic)),
        ...options,
      }),
    unacknowledged: async (topic) => {
      const name = 'ApproximateNumberOfMessagesNotVisible'
      const request = new GetQueueAttributesCommand({ QueueUrl: queues.urlOf(topic), AttributeNames: [name] })
      const { Attributes } = await preparing('count messages', () => direct.send(request))
      return Number(Attributes?.[name])
    },
    ...(ours === null ? {} : { stopBroker: () => ours.stop(), startBroker: () => ours.start() }),
    close: async () => {
      await consumers.close()
      direct.destroy()
      await server.close()
    },
  }
}

const deadLettersOf = (topic: string): string => `dead-${topic}`

interface ProxiedConsumers {
  readonly create: ConsumerHarness['createConsumer']
  readonly crash: ConsumerHarness['crash']
  close(): Promise<void>
}

function createProxiedConsumers(port: number, queues: Queues): ProxiedConsumers {
  const crashes = new Map<Consumer, () => void>()
  const closings: (() => Promise<void>)[] = []
  return {
    create: async (topic, options) => {
      const proxy = await startTcpProxy(port)
      const client = sqsClient(`http://127.0.0.1:${String(proxy.port)}`)
      const consumer = createSqsConsumer({
        client,
        queueUrl: queues.urlOf(topic),
        deadLetterQueueUrl: queues.urlOf(deadLettersOf(topic)),
        visibilityTimeoutMs,
        waitTimeMs: 1_000,
        ...options,
      })
      crashes.set(consumer, () => proxy.refuse())
      closings.push(async () => {
        client.destroy()
        await proxy.close()
      })
      return consumer
    },
    crash: async (consumer) => crashes.get(consumer)?.(),
    close: async () => {
      await Promise.all(closings.map((close) => close()))
    },
  }
}

async function deadLettersIn(client: SQSClient, queueUrl: string): Promise<HeldDeadLetter[]> {
  const request = { QueueUrl: queueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] }
  const answer = await preparing('look at the dead letters', () => client.send(new ReceiveMessageCommand(request)))
  return (answer.Messages ?? []).map((raw): HeldDeadLetter => {
    const note = readDeadLetterNote(textAttributes(raw.MessageAttributes))
    const id = raw.MessageAttributes?.['ce-id']?.StringValue ?? null
    return { id, body: new TextEncoder().encode(raw.Body), note }
  })
}
