import { randomUUID } from 'node:crypto'
import { decodeEnvelope, encodeEnvelope, systemClock } from '../src/adapter/index.ts'
import type { OutboxMessage, Publisher, PublishFailure } from '../src/index.ts'
import {
  type Absences,
  createMemoryBroker,
  type MemoryBroker,
  type PublishedRecord,
  type PublisherHarness,
} from '../src/testing/index.ts'

const maxMessageBytes = 262_144
export const absences: Absences<PublisherHarness> = {
  ordersByBrokerKey: 'memory has no key of its own beside the ordering key',
  cutConnections: 'memory has no connections',
  openConnections: 'memory has no connections',
}

/**
 * Several publishers on one memory, as several publishers on one broker; what one accepted outlives it.
 *
 * @param assemble - makes the publisher under test of new ones on that memory
 */
export function createMemoryHarness(assemble: (create: () => MemoryBroker) => Publisher): PublisherHarness {
  const brokers: MemoryBroker[] = []
  const missing = new Set<string>()
  let isUp = true

  function refusal(message: OutboxMessage): PublishFailure | null {
    if (missing.has(message.topic))
      return { kind: 'unavailable', destination: message.topic, code: 'NO_TOPIC', message: 'there is no such topic' }
    if (bytesOf(message) > maxMessageBytes) return { kind: 'permanent', code: 'TOO_LARGE', message: 'over the limit' }
    return message.headers['refuse'] === 'me' ? { kind: 'retryable', code: 'REFUSED', message: 'refused' } : null
  }

  function create(): MemoryBroker {
    const broker = createMemoryBroker()
    if (!isUp) broker.goDown()
    broker.failWith(refusal)
    broker.beforePublish(latency)
    brokers.push(broker)
    return broker
  }

  return {
    maxMessageBytes,
    patienceMs: 1_000,
    keepsOrder: true,
    createPublisher: () => Promise.resolve(assemble(create)),
    freshTopic: () => Promise.resolve(randomUUID()),
    missingTopic: () => {
      const topic = randomUUID()
      missing.add(topic)
      return Promise.resolve(topic)
    },
    troubledTopic: () => {
      const topic = randomUUID()
      missing.add(topic)
      return Promise.resolve({ topic, mend: () => Promise.resolve(void missing.delete(topic)) })
    },
    receive: (topic) =>
      Promise.resolve(
        brokers
          .flatMap((broker) => broker.accepted)
          .filter((message) => message.topic === topic)
          .map(toRecord),
      ),
    brokerRefusal: () => Promise.resolve({ topic: randomUUID(), change: { headers: { refuse: 'me' } } }),
    stopBroker: () => {
      isUp = false
      for (const broker of brokers) broker.goDown()
      return Promise.resolve()
    },
    startBroker: () => {
      isUp = true
      for (const broker of brokers) broker.goUp()
      return Promise.resolve()
    },
  }
}

/** A large batch takes its time, as on every real broker: an abort must find something unfinished. */
async function latency(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<void> {
  await systemClock.sleep(batch.length / 20, signal)
}

function bytesOf(message: OutboxMessage): number {
  return Buffer.byteLength(message.body) + Buffer.byteLength(JSON.stringify(message.headers))
}

function toRecord(message: OutboxMessage): PublishedRecord {
  const wire = encodeEnvelope(message, { prefix: 'ce_', source: '/memory' })
  const body = typeof message.body === 'string' ? new TextEncoder().encode(message.body) : message.body
  return { wire, message: decodeEnvelope(wire, body, message.topic, 'ce_') }
}
