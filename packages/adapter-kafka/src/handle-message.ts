import type { ReceivedMessage } from '@malote/outbox-core'
import { decodeForeign, type MessageInHand, type MessageProcessor, receivedOf } from '@malote/outbox-core/adapter'
import type { RecordContext } from './assigned-partition.ts'
import type { FetchedRecord } from './client.ts'
import { sendDeadLetter } from './dead-letter.ts'
import { decodeMessage, sentAtOf } from './decode.ts'
import type { ResolvedKafkaConsumerOptions } from './options.ts'
import type { ProducerPool } from './producer-pool.ts'

/** Handles one record to its end: acknowledged or dead-lettered. False when its partition was lost or the consumer stops first. */
export type MessageHandler = (record: FetchedRecord, context: RecordContext) => Promise<boolean>

/**
 * Without a store attempts are counted here, in memory: Kafka does not count deliveries. A crash or a move of the partition starts at
 * 1 again.
 *
 * @param pool - producers for dead letters
 */
export function createMessageHandler(
  options: ResolvedKafkaConsumerOptions,
  processor: MessageProcessor,
  pool: ProducerPool,
): MessageHandler {
  function decode(record: FetchedRecord, topic: string, partition: number): ReceivedMessage {
    const body = record.value ?? Buffer.alloc(0)
    const foreign = decodeForeign(
      options.decode,
      { ...record, topic, partition },
      { topic, body, sentAt: sentAtOf(record) },
    )
    return foreign ?? decodeMessage(record, topic)
  }

  /** One for each record, whether it is asked for in its turn or for a batch. */
  const inHands = new WeakMap<FetchedRecord, MessageInHand>()

  function inHandOf(record: FetchedRecord, context: RecordContext): MessageInHand {
    const known = inHands.get(record)
    if (known !== undefined) return known
    const { topic, partition, lost, ending, isRedelivered } = context
    const { offset } = record
    const inHand: MessageInHand = {
      received: receivedOf(() => decode(record, topic, partition)),
      attempt: 1,
      isRedelivered,
      extras: { topic, partition, offset },
      source: topic,
      position: `${String(partition)}:${offset}`,
      topic,
      lost,
      ending,
      *behind() {
        for (const next of context.behind()) yield inHandOf(next.record, next.context)
      },
      // Its offset is committed with those before it.
      acknowledge: () => !lost.aborted,
      deadLetter: (letter) =>
        pool.use((producer) => sendDeadLetter(producer, options.deadLetterTopic(topic), record, letter), lost),
    }
    inHands.set(record, inHand)
    return inHand
  }

  return async (record, context) => (await processor.process(inHandOf(record, context))) === 'settled'
}
