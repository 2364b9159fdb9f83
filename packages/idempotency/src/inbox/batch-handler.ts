import {
  type Delivery,
  type DeliveryHandler,
  inBatches,
  type InBatchesOptions,
  type ReceivedMessage,
} from '@malote/outbox-core'
import type { BatchResult, Inbox } from './inbox.ts'
import type { BatchMessage } from './options.ts'
import { createStreamsInHand, type MessageInStream, type StreamsInHand } from './streams-in-hand.ts'
import { type Database, databaseOption, type TransactionOf } from '../database/transaction.ts'

/** `maxSize` is messages in one transaction, `concurrency` transactions at a time, `lingerMs` how long a message waits for company. */
export interface BatchHandlerOptions<Db extends Database> extends Omit<InBatchesOptions, 'byStream'> {
  /**
   * A transaction applies what waits of one topic and ordering key, and nothing else: for hot accounts. `maxSize` bounds it; `concurrency`,
   * `lingerMs` and `expected` have no meaning then.
   *
   * @defaultValue false: one message of a stream, with those of others
   */
  readonly byStream?: boolean
  /** With `byStream`: as `maxBytes` of `inBatches`. */
  readonly maxBytes?: number
  readonly inbox: Inbox
  readonly db: Db
  /** Name of the consumer in the inbox. Never change it: the inbox would forget what was applied. */
  readonly consumer: string
}

/**
 * A consumer's handler that applies messages by the batch: those delivered while a transaction is under way share the next
 * one, with one inbox row each and one commit for all. Give the consumer a `concurrency` of at least `maxSize`, which is
 * what a batch grows from.
 *
 * A batch that fails is applied again one message at a time, each in a transaction of its own (`Inbox.transactBatch`), so
 * that a bad message is retried and dead-lettered alone. A message whose `signal` aborted before its turn is left out. No message
 * is applied behind one of its topic and ordering key that failed or was left out, in whatever batch, if it was delivered before that
 * was known: it fails with IdempotencyError `PREDECESSOR_FAILED`, which costs it no attempt. Two batches at the same time have
 * no stream in common: the later one waits.
 *
 * @param fn - gets the messages this consumer has not applied before, at least one, in the order delivered; every effect
 *   must go through `tx`. It may run more than once; what it did through `tx` is kept at most once.
 * @throws IdempotencyError `INVALID_OPTION`; OutboxError `INVALID_OPTION`
 */
export function createBatchHandler<Db extends Database>(
  options: BatchHandlerOptions<Db>,
  fn: (tx: TransactionOf<Db>, messages: readonly ReceivedMessage[]) => Promise<void>,
): DeliveryHandler {
  const { inbox, db, consumer } = options
  databaseOption(db)

  if (options.byStream === true) return createStreamHandler(options, fn)
  const streams = createStreamsInHand()

  async function apply(messages: readonly InHand[]): Promise<readonly PromiseSettledResult<void>[]> {
    const results = new Map<InHand, BatchResult>()
    const current = messages.filter((message) => {
      const { signal } = message.delivery
      const refusal: unknown = signal.aborted ? signal.reason : message.refusal()
      if (refusal === null) return true
      message.fail()
      results.set(message, { failed: refusal })
      return false
    })
    if (current.length > 0) {
      const found = await inbox.transactBatch(db, consumer, current, (tx, fresh) =>
        fn(
          tx,
          fresh.map(({ delivery }) => delivery.message),
        ),
      )
      for (const [at, message] of current.entries()) {
        results.set(message, found[at] as BatchResult)
        if (typeof found[at] !== 'string') message.fail()
      }
    }
    return messages.map((message) => outcomeOf(results.get(message) as BatchResult))
  }

  const run = (messages: readonly InHand[]) => streams.inTurn(messages, () => apply(messages))
  const enqueue = inBatches(run, { ...options, byStream: false })
  return async (delivery) => {
    const message = inHand(delivery, streams)
    try {
      await enqueue(message)
    } finally {
      message.end()
    }
  }
}

/** The consumer keeps the order: it has no other message of the stream handled meanwhile, and what follows a failed one waits for it. */
function createStreamHandler<Db extends Database>(
  { inbox, db, consumer, maxSize, maxBytes }: BatchHandlerOptions<Db>,
  fn: (tx: TransactionOf<Db>, messages: readonly ReceivedMessage[]) => Promise<void>,
): DeliveryHandler {
  const run = async (deliveries: readonly Delivery[]): Promise<PromiseSettledResult<void>[]> => {
    const lost = deliveries.find(({ signal }) => signal.aborted)
    if (lost !== undefined) throw lost.signal.reason
    const batch = deliveries.map((delivery) => ({ ...batchMessageOf(delivery.message), delivery }))
    const results = await inbox.transactBatch(db, consumer, batch, (tx, fresh) =>
      fn(
        tx,
        fresh.map(({ delivery }) => delivery.message),
      ),
    )
    return results.map(outcomeOf)
  }
  return inBatches(run, {
    byStream: true,
    ...(maxSize === undefined ? {} : { maxSize }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  })
}

interface InHand extends BatchMessage, MessageInStream {
  readonly delivery: Delivery
}

function inHand(delivery: Delivery, streams: StreamsInHand): InHand {
  const batched = batchMessageOf(delivery.message)
  return { ...batched, ...streams.enter(batched), delivery }
}

const batchMessageOf = (message: ReceivedMessage): BatchMessage => ({
  messageId: message.id,
  occurredAt: message.createdAt,
  ...streamOf(message),
})

function streamOf({ topic, orderingKey }: ReceivedMessage): { readonly stream?: string } {
  return orderingKey === null ? {} : { stream: JSON.stringify([topic, orderingKey]) }
}

const outcomeOf = (result: BatchResult): PromiseSettledResult<void> =>
  typeof result === 'string' ? { status: 'fulfilled', value: undefined } : { status: 'rejected', reason: result.failed }
