import {
  type DeadLetter,
  deadLetterHeader,
  DeadLetterTooLargeError,
  encodeDeadLetterNote,
} from '@malote/outbox-core/adapter'
import type { FetchedRecord, KafkaProducer, KafkaRecord } from './client.ts'

/** Sends the letter. @throws DeadLetterTooLargeError when the topic takes no record of that size, and whatever the client throws */
export async function sendDeadLetter(
  producer: Pick<KafkaProducer, 'send'>,
  topic: string,
  record: FetchedRecord,
  letter: DeadLetter,
): Promise<void> {
  try {
    await producer.send({ topic, messages: [encodeDeadLetter(record, letter)] })
  } catch (error) {
    if (!isTooLarge(error)) throw error
    throw new DeadLetterTooLargeError(`topic "${topic}" takes no record of that size`, { cause: error })
  }
}

/** Pure: the record as it was, or as much of it as the form allows, and the note in a header. */
export function encodeDeadLetter(record: FetchedRecord, { note, form }: DeadLetter): KafkaRecord {
  const written: Record<string, string> = form === 'bare' ? {} : { [deadLetterHeader]: encodeDeadLetterNote(note) }
  return {
    key: record.key,
    value: form === 'stub' ? null : record.value,
    headers: form === 'whole' || form === 'bare' ? { ...firstHeaders(record), ...written } : written,
  }
}

/** Kafka allows a header twice: the first counts. A note of an earlier death is no more true. */
export function firstHeaders(record: FetchedRecord): Record<string, Buffer | string> {
  const first = Object.entries(record.headers ?? {}).flatMap(([name, value]) => {
    const one = Array.isArray(value) ? value[0] : value
    return one === undefined || name === deadLetterHeader ? [] : [[name, one] as const]
  })
  return Object.fromEntries(first)
}

/** Codes 10 MESSAGE_TOO_LARGE and 18 RECORD_LIST_TOO_LARGE; kafkajs names the error, librdkafka gives the number. */
function isTooLarge(error: unknown): boolean {
  for (let one: unknown = error, depth = 0; typeof one === 'object' && one !== null && depth < 5; depth++) {
    const { type, code, cause } = one as { type?: unknown; code?: unknown; cause?: unknown }
    if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE' || code === 10 || code === 18) return true
    one = cause
  }
  return false
}
