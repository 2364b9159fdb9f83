import type { ReceivedMessage } from '@malote/outbox-core'
import { decodeEnvelope } from '@malote/outbox-core/adapter'
import type { FetchedRecord } from './client.ts'
import { attributePrefix, topicHeader } from './encode.ts'

/**
 * Reads a message back from a record. Its topic is the one the application named, also when the publisher's `topics` mapped it.
 *
 * @throws OutboxError `UNDECODABLE_MESSAGE` naming the attribute that is missing or malformed
 */
export function decodeMessage(record: FetchedRecord, kafkaTopic: string): ReceivedMessage {
  const headers = headersOf(record)
  const body = record.value ?? Buffer.alloc(0)
  return decodeEnvelope(headers, body, headers[topicHeader] ?? kafkaTopic, attributePrefix, sentAtOf(record))
}

/** When the broker or the producer stamped it: the same whenever the record is read. */
export function sentAtOf({ timestamp }: FetchedRecord): Date | undefined {
  const ms = Number(timestamp ?? Number.NaN)
  return Number.isFinite(ms) && ms > 0 ? new Date(ms) : undefined
}

/** Kafka allows a header twice: the first counts. */
export function headersOf(record: FetchedRecord): Record<string, string> {
  const headers = Object.entries(record.headers ?? {}).flatMap(([name, value]) => {
    const first = Array.isArray(value) ? value[0] : value
    return first === undefined ? [] : [[name, first.toString()] as const]
  })
  return Object.fromEntries(headers)
}
