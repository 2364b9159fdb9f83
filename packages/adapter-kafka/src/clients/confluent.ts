/**
 * `@confluentinc/kafka-javascript`, which is librdkafka, as a client for publisher and consumer.
 *
 * @packageDocumentation
 */
import { OutboxError } from '@malote/outbox-core'
import type {
  FetchedBatch,
  KafkaClient,
  KafkaConsumer,
  KafkaGroup,
  KafkaOffsetsAdmin,
  KafkaProducer,
  TopicPartition,
} from '../client.ts'
import { createGroupEvents, timesOf } from './group.ts'
import { asking, createOffsetsAdmin } from './offsets-admin.ts'

export type { KafkaClient, KafkaConsumer, KafkaGroup, KafkaOffsetsAdmin, KafkaProducer } from '../client.ts'

/** The part of `new KafkaJS.Kafka(…)` of `@confluentinc/kafka-javascript` that is used. */
export interface ConfluentKafka {
  producer(settings: typeof producerSettings): ConfluentProducer
  consumer(settings: ConfluentConsumerSettings): ConfluentConsumer
  admin(): ConfluentAdmin
}

/** What is used of its producer. */
export interface ConfluentProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: {
    topic: string
    messages: { key: Buffer | string | null; value: Buffer | null; headers: Record<string, Buffer | string> }[]
  }): Promise<unknown>
}

/** What is used of its consumer. */
export interface ConfluentConsumer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: { topics: string[] }): Promise<void>
  run(config: { eachBatchAutoResolve: boolean; eachBatch: (payload: FetchedBatch) => Promise<void> }): Promise<void>
  commitOffsets(offsets: { topic: string; partition: number; offset: string }[]): Promise<void>
  seek(position: { topic: string; partition: number; offset: string }): void
  pause(partitions: { topic: string; partitions: number[] }[]): void
  resume(partitions: { topic: string; partitions: number[] }[]): void
}

/** What is used of its admin client. */
export interface ConfluentAdmin extends KafkaOffsetsAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  fetchTopicMetadata(options: { topics: string[] }): Promise<unknown>
}

/** What its consumer is made with. */
export interface ConfluentConsumerSettings {
  kafkaJS: {
    groupId: string
    fromBeginning: boolean
    autoCommit: boolean
    allowAutoTopicCreation: boolean
    sessionTimeout: number
    rebalanceTimeout: number
    heartbeatInterval: number
    maxWaitTimeInMs: number
  }
  rebalance_cb: (
    event: { code: number },
    assignment: TopicPartition[],
    steps: { assign(assignment: TopicPartition[]): void; assignmentLost(): boolean },
  ) => Promise<void>
}

/**
 * - `enable.gapless.guarantee`: what follows a failed record in its partition fails too, so that what is accepted of a key has no gap.
 * - `message.max.bytes`: librdkafka's own limit is 1,000,000 bytes, below the broker's. The limits that count are `maxMessageBytes` and the topic's.
 * - `message.timeout.ms`: the relay tries again itself, and knows an outage by then.
 * - `topic.metadata.propagation.max.ms`: how long a topic that is not there is waited for.
 */
const producerSettings = {
  kafkaJS: { idempotent: true, allowAutoTopicCreation: false, maxInFlightRequests: 1 },
  'enable.gapless.guarantee': true,
  'message.max.bytes': 1_000_000_000,
  'message.timeout.ms': 10_000,
  'topic.metadata.propagation.max.ms': 1_000,
}

/** librdkafka's word for partitions that are taken away. */
const revoked = -174

/**
 * Makes producers and consumers of `@confluentinc/kafka-javascript`.
 *
 * @param kafka - `new KafkaJS.Kafka({ kafkaJS: { clientId, brokers } })`
 */
export function confluentClient(kafka: ConfluentKafka): KafkaClient {
  return {
    producer: () => createProducer(kafka.producer(producerSettings)),
    consumer: (group) => createConsumer(kafka, group),
    admin: createOffsetsAdmin(kafka),
  }
}

function createProducer(producer: ConfluentProducer): KafkaProducer {
  const connection = createConnection(producer)
  return {
    ...connection,
    // One by one and in their order: together the first failure is told while others are still on their way.
    send: async ({ topic, messages }) => {
      const sent = await Promise.allSettled(
        // The client replaces the headers in place, and a record that failed is sent again.
        messages.map((record) => producer.send({ topic, messages: [{ ...record, headers: { ...record.headers } }] })),
      )
      const failed = sent.find((one) => one.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    },
    isIdempotent: () => true,
  }
}

/** A client that is disconnected while it connects ends the process: its ready event finds it in a state it does not know. */
function createConnection(client: Pick<ConfluentProducer, 'connect' | 'disconnect'>): typeof client {
  let connecting = Promise.resolve()
  return {
    connect: () => (connecting = client.connect()),
    disconnect: async () => {
      await connecting.catch(() => {}) // Told to whoever connects.
      await client.disconnect()
    },
  }
}

function createConsumer(kafka: ConfluentKafka, group: KafkaGroup): KafkaConsumer {
  const events = createGroupEvents()
  let subscription = { topics: [] as string[], fromBeginning: true }
  let member: (ConfluentConsumer & { readonly leave: () => Promise<void> }) | null = null
  let membership = 0

  const settings = (): ConfluentConsumerSettings => ({
    kafkaJS: {
      groupId: group.groupId,
      fromBeginning: subscription.fromBeginning,
      autoCommit: false,
      allowAutoTopicCreation: false,
      ...timesOf(group),
      maxWaitTimeInMs: 250,
    },
    rebalance_cb: ({ code }, assignment, steps) => {
      if (code === revoked) {
        // Thrown out of the group, not asked to meet again: others may have the partitions by now.
        if (!steps.assignmentLost()) return Promise.resolve()
        membership++
        events.crashed(new Error('the group does not count this member any more: its session is over'), true)
        return Promise.resolve()
      }
      // Before it is told: what is not assigned can be neither paused nor sought.
      steps.assign(assignment)
      events.joined(String(membership), assignment)
      return Promise.resolve()
    },
  })

  function joined(): ConfluentConsumer {
    if (member === null) throw new OutboxError('CONSUMER_STATE', 'the consumer is no member of its group')
    return member
  }

  return {
    // Nothing is connected before `run`: where the group begins is a setting of its client.
    connect: () => Promise.resolve(),
    subscribe: ({ topics, fromBeginning = false }) => {
      subscription = { topics, fromBeginning }
      return Promise.resolve()
    },
    run: async ({ eachBatch = () => Promise.resolve() }) => {
      const { topics } = subscription
      // The client waits for a topic that is not there, and says nothing.
      await asking(kafka, (admin) => admin.fetchTopicMetadata({ topics }))
      const consumer = kafka.consumer(settings())
      const { connect, disconnect } = createConnection(consumer)
      membership++
      member = Object.assign(consumer, { leave: disconnect })
      await connect()
      await consumer.subscribe({ topics })
      await consumer.run({ eachBatchAutoResolve: false, eachBatch })
    },
    disconnect: async () => member?.leave(),
    commitOffsets: async (offsets) => joined().commitOffsets(offsets),
    seek: (position) => joined().seek(position),
    pause: (places) => joined().pause(places),
    resume: (places) => joined().resume(places),
    on: events.on,
  }
}
