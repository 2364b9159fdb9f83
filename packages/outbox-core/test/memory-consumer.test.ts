import { describeConformance } from '@malote/testing/conformance'
import { randomUUID } from 'node:crypto'
import type { Consumer } from '../src/index.ts'
import {
  type Absences,
  consumerConformance,
  type ConsumerHarness,
  createMemoryBroker,
  type MemoryConsumer,
} from '../src/testing/index.ts'
import { createMemoryConsumerStore, hurriedClock } from './memory-consumer-store.ts'
import { roomForLetters } from './memory-room.ts'

const absences: Absences<ConsumerHarness> = {
  holdTimeoutMs: 'memory leaves a message with its consumer until the consumer is gone',
  takesStreamsInBatches: 'memory gives a consumer one message of a key at a time',
  unacknowledged: 'memory has no connection whose window could be full',
  redrive: 'memory keeps its dead letters for the test to look at',
}

const broker = createMemoryBroker()

const harness: ConsumerHarness = {
  redeliveryMs: 1_000,
  patienceMs: 5_000,
  ordersByKey: true,
  ordersRetries: true,
  ordersAcrossConsumers: true,
  freshTopic: () => Promise.resolve(randomUUID()),
  createConsumer: (topic, options) =>
    Promise.resolve<Consumer>(broker.createConsumer({ topic, ...options, ...hurriedClock(options) })),
  ...roomForLetters(broker),
  consumerStore: () => Promise.resolve(createMemoryConsumerStore()),
  send: async (messages) => {
    await broker.publish(messages, new AbortController().signal)
  },
  sendForeign: (topic, body) => Promise.resolve(broker.putForeign(topic, body)),
  deadLetters: (topic) => Promise.resolve(broker.deadLetters(topic)),
  crash: (consumer) => Promise.resolve((consumer as MemoryConsumer).crash()),
  stopBroker: () => Promise.resolve(broker.goDown()),
  startBroker: () => Promise.resolve(broker.goUp()),
}

describeConformance('consumer', 'memory', consumerConformance, () => harness, absences)
