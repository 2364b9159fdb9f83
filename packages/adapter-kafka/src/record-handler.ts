import { exponentialBackoff, type ReceivedMessage } from '@malote/outbox-core'
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
  async function deadLetter(dead: DeadRecord, context: RecordContext): Promise<boolean> {
    const message = { topic: options.deadLetterTopic(dead.topic), messages: [encodeDeadLetter(dead)] }
    for (let failures = 1; !context.ending.aborted; failures++) {
      try {
        await pool.use((producer) => producer.send(message), context.lost)
        return true
      } catch (error) {
        options.report({ type: 'consumer.disconnected', error, retryInMs: deadLetterBackoff(failures) })
        await clock.sleep(deadLetterBackoff(failures), context.ending)
      }
    }
    return false
  }

  return async (record, context) => {
    const { topic, partition, ending } = context
    for (let attempt = 1; ; attempt++) {
      const outcome = await slots.run(null, () => attemptOnce(options, record, attempt, context))
      if (outcome === null) return false
      if (outcome.action === 'acknowledge') return !context.lost.aborted
      if (outcome.action === 'dead-letter')
        return deadLetter({ record, topic, partition, attempt, reason: outcome.reason, error: outcome.error }, context)
      await clock.sleep(outcome.inMs, ending)
      if (ending.aborted) return false
      if (!outcome.spendsAttempt) attempt--
    }
  }
}

/** Null when nothing more may begin. */
async function attemptOnce(
  options: ResolvedKafkaConsumerOptions,
  record: FetchedRecord,
  attempt: number,
  context: RecordContext,
): Promise<DeliveryOutcome | null> {
  const { topic, partition, lost, ending, running } = context
  if (ending.aborted) return null
  let message: ReceivedMessage
  try {
    message = decodeRecord(record, topic)
  } catch (error) {
    options.report({
      type: 'message.dead-lettered',
      id: null,
      messageType: null,
      attempt,
      reason: 'UNDECODABLE',
      error,
    })
    return { action: 'dead-letter', reason: 'UNDECODABLE', error }
  }
  const delivery: KafkaDelivery = { message, attempt, signal: lost, topic, partition, offset: record.offset }
  running.add(message.id)
  try {
    return await deliver(options, delivery)
  } finally {
    running.delete(message.id)
  }
}
