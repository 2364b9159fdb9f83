import type { OutboxMessage } from '@malote/outbox-core'
import { encodeEnvelope } from '@malote/outbox-core/adapter'
import type { KafkaRecord } from './client.ts'

/** What the CloudEvents binding for Kafka puts before attribute names. */
export const attributePrefix = 'ce_'

/** The message's topic, where `topics` sends it to a Kafka topic of another name. */
export const topicHeader = 'malote-topic'

/** Bytes of a record batch before its first record. */
export const batchOverheadBytes = 61

/** Upper bound of the length, timestamp, offset and attribute fields of one record, and of each length inside it. */
const recordOverheadBytes = 26
const lengthBytes = 5

/**
 * The Kafka record of a message. The ordering key is the record key, so that a key stays in one partition; a message without
 * one is keyed by its id, which spreads it and puts it into the same partition when it is sent again.
 *
 * The record's timestamp is left to the client: `createdAt` would let a topic's retention delete a message on arrival that
 * had waited out a long outage.
 */
export function encodeMessage(message: OutboxMessage, source: string, kafkaTopic: string): KafkaRecord {
  const { body, topic } = message
  const headers = encodeEnvelope(message, { prefix: attributePrefix, source })
  if (topic !== kafkaTopic) headers[topicHeader] = topic
  return {
    key: message.orderingKey ?? message.id,
    value: typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    headers,
  }
}

/** Upper bound of what the record takes in a batch, in bytes. */
export function recordBytes(record: KafkaRecord): number {
  const headers = Object.entries(record.headers).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value) + 2 * lengthBytes,
    0,
  )
  return recordOverheadBytes + Buffer.byteLength(record.key ?? '') + (record.value?.byteLength ?? 0) + headers
}
