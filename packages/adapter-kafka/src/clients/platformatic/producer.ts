import { compatibilityPartitioner, Producer } from '@platformatic/kafka'
import type { Clock } from '@malote/outbox-core/adapter'
import type { KafkaProducer, KafkaRecord } from '../../client.ts'
import { telling } from './failures.ts'
import { untilServed } from './patience.ts'
import { fixedSettings, type PlatformaticConnection } from './settings.ts'

/**
 * A producer that is not connected yet: idempotent, acknowledged by all in-sync replicas, each request sent once, and keys where the other
 * clients put them. The client's own choice takes the hash as a positive number where Java takes its last 31 bits, and so puts
 * about a quarter of the keys into another partition.
 */
export function createProducer(connection: PlatformaticConnection, clock: Clock): KafkaProducer {
  let keyless = Math.floor(Math.random() * 1_000)
  const producer = new Producer({
    ...connection,
    ...fixedSettings,
    idempotent: true,
    repeatOnStaleMetadata: false,
    // The client divides by the number of partitions.
    partitioner: (message, key) => (Buffer.isBuffer(key) ? compatibilityPartitioner(message, key) : keyless++),
  })
  return {
    connect: async () => void (await untilServed(clock, () => producer.initIdempotentProducer({}))),
    disconnect: () => producer.close(true),
    send: ({ topic, messages }) =>
      telling(() => producer.send({ messages: messages.map((record) => outgoingOf(topic, record)) })),
    isIdempotent: () => true,
  }
}

function outgoingOf(
  topic: string,
  { key, value, headers }: KafkaRecord,
): { topic: string; key?: Buffer; value: Buffer; headers: Map<Buffer, Buffer> } {
  return {
    topic,
    ...(key === null ? {} : { key: bytesOf(key) }),
    // Null is a record without a value, which the client writes and its types do not know.
    value: value as Buffer,
    headers: new Map(Object.entries(headers).map(([name, text]) => [Buffer.from(name), bytesOf(text)])),
  }
}

const bytesOf = (text: Buffer | string): Buffer => (typeof text === 'string' ? Buffer.from(text) : text)
