import { exponentialBackoff, type MessageId, type ReceivedMessage } from '@malote/outbox-core'
import { type Clock, createKeyedQueue, deliver, type DeliveryOutcome } from '@malote/outbox-core/adapter'
import type { RecordContext } from './assigned-partition.ts'
import type { FetchedRecord } from './client.ts'
import { type DeadRecord, encodeDeadLetter } from './dead-letter.ts'
import { decodeRecord } from './decode.ts'
import type { KafkaDelivery, ResolvedKafkaConsumerOptions } from './options.ts'
import type { ProducerPool } from './producer-pool.ts'

/** Handles one record to its end: acknowledged or dead-lettered. False when its partition was lost or the consumer stops first. */
export type RecordHandler = (record: FetchedRecord, context: RecordContext) => Promise<boolean>

/**
 * Attempts are counted here, in memory: Kafka does not count deliveries. A crash or a move of the partition starts at 1 again.
 *
 * @param pool - producers for dead letters
 */
export function createRecordHandler(
  options: ResolvedKafkaConsumerOptions,
  pool: ProducerPool,
  clock: Clock,
): RecordHandler {
  const slots = createKeyedQueue(options.concurrency)
  const deadLetterBackoff = exponentialBackoff({ maxMs: 30_000 })

  /** Until it is accepted: a dead letter that is nowhere would be a loss. */
  async function deadLetter(id: MessageId | null, dead: DeadRecord, context: RecordContext): Promise<boolean> {
    for (let failures = 1; !context.ending.aborted; failures++) {
      try {
        const letter = { topic: options.deadLetterTopic(dead.topic), messages: [encodeDeadLetter(dead)] }
        await pool.use((producer) => producer.send(letter), context.lost)
        return true
      } catch (error) {
        const retryInMs = deadLetterBackoff(failures)
        options.report({ type: 'message.dead-letter-failed', id, error, retryInMs })
        await clock.sleep(retryInMs, context.ending)
      }
    }
    return false
  }

  /** Null when nothing more may begin. */
  async function deliverOnce(
    record: FetchedRecord,
    message: ReceivedMessage,
    attempt: number,
    context: RecordContext,
  ): Promise<DeliveryOutcome | null> {
    const { topic, partition, ending, running } = context
    if (ending.aborted) return null
    const handler = { id: message.id, telling: new AbortController() }
    const { signal } = handler.telling
    running.add(handler)
    const delivery: KafkaDelivery = { message, attempt, signal, topic, partition, offset: record.offset }
    return deliver(options, delivery).finally(() => running.delete(handler))
  }

  return async (record, context) => {
    const origin = { record, topic: context.topic, partition: context.partition }
    const { message, error } = tryDecode(record, context.topic)
    if (message === null) {
      const reason = 'UNDECODABLE'
      options.report({ type: 'message.dead-lettered', id: null, messageType: null, attempt: 1, reason, error })
      return deadLetter(null, { ...origin, attempt: 1, reason, error }, context)
    }
    for (let attempt = 1; ;) {
      const outcome = await slots.run(null, () => deliverOnce(record, message, attempt, context))
      if (outcome === null) return false
      if (outcome.action === 'acknowledge') return !context.lost.aborted
      if (outcome.action === 'dead-letter')
        return deadLetter(message.id, { ...origin, attempt, reason: outcome.reason, error: outcome.error }, context)
      await clock.sleep(outcome.inMs, context.ending)
      if (context.ending.aborted) return false
      if (outcome.spendsAttempt) attempt++
    }
  }
}

function tryDecode(
  record: FetchedRecord,
  topic: string,
):
  | { readonly message: ReceivedMessage; readonly error?: undefined }
  | { readonly message: null; readonly error: unknown } {
  try {
    return { message: decodeRecord(record, topic) }
  } catch (error) {
    return { message: null, error }
  }
}
