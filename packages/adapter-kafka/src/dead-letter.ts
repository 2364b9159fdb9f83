import type { DeadLetterReason } from '@malote/outbox-core'
import type { FetchedRecord, KafkaRecord } from './client.ts'

export interface DeadRecord {
  readonly record: FetchedRecord
  readonly topic: string
  readonly partition: number
  readonly attempt: number
  readonly reason: DeadLetterReason
  readonly error: unknown
}

/** An error's words are for the operator who reads the dead letter; a stack or a query would be too much of them. */
const maxErrorLength = 500

/** Pure: the record as it was, with why it is dead, how often it was tried and where it came from in its headers. */
export function encodeDeadLetter({ record, topic, partition, attempt, reason, error }: DeadRecord): KafkaRecord {
  const original = Object.entries(record.headers ?? {}).flatMap(([name, value]) => {
    const first = Array.isArray(value) ? value[0] : value
    return first === undefined ? [] : [[name, first] as const]
  })
  return {
    key: record.key,
    value: record.value,
    headers: {
      ...Object.fromEntries(original),
      'malote-dead-letter-reason': reason,
      'malote-attempts': String(attempt),
      'malote-dead-letter-error': String(error).slice(0, maxErrorLength).toWellFormed(),
      'malote-dead-letter-source': topic,
      'malote-dead-letter-partition': String(partition),
      'malote-dead-letter-offset': record.offset,
    },
  }
}
