import type { Message } from '@aws-sdk/client-sqs'
import { type Consumer, OutboxError } from '@malote/outbox-core'
import { createKeyedQueue, systemClock } from '@malote/outbox-core/adapter'
import { decodeMessage } from './decode.ts'
import { isFifo, resolveConsumer, type SqsConsumerOptions } from './options.ts'
import { createReceiver } from './receiver.ts'
import { createSettler, type Received } from './settle.ts'
import { createHolds, type Hold } from './visibility.ts'
import { within } from './within.ts'

/** Longest a handler that was aborted may take to end before its message is given back over its head. */
const afterAbortMs = 1_000

/**
 * Consumes an SQS queue, standard or FIFO.
 *
 * On a FIFO queue messages of one group are handled in order, over all consumers of the queue, also when one of them fails: those
 * behind it wait for it. A standard queue promises no order; messages of one key are handled one at a time by this consumer, in
 * the order SQS gave them, and a failed one comes again behind others.
 *
 * `attempt` is SQS's own count of deliveries, less those this consumer gave back unhandled. A message held for twelve hours is
 * lost to the next consumer: SQS extends no further.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createSqsConsumer(options: SqsConsumerOptions): Consumer {
  const settings = resolveConsumer(options)
  const { report, concurrency, client, queueUrl } = settings
  const handlers = createKeyedQueue(concurrency)
  const waiting = new Set<Hold>()
  const holds = createHolds({ ...settings, clock: systemClock, onLost: (hold, error) => settler.lost(hold, error) })
  const settler = createSettler({ settings, holds, waiting })
  /** Twice what runs: a handler that ends finds its successor here, and a busy key does not keep the others away. */
  const maxHeld = concurrency * 2
  let reserved = 0
  let stopped: Promise<void> | null = null
  let isStarted = false
  let isStopping = false

  async function room(): Promise<number> {
    for (;;) {
      const free = maxHeld - handlers.size - reserved
      if (free > 0) {
        reserved += Math.min(free, 10)
        return Math.min(free, 10)
      }
      await handlers.whenBelow(handlers.size)
    }
  }

  function accept(raw: Message): void {
    const received = decode(raw, settings.topic)
    const key = isFifo(queueUrl) ? (raw.Attributes?.MessageGroupId ?? null) : (received.message?.orderingKey ?? null)
    const hold = holds.take(raw, received.message?.id ?? null, key)
    waiting.add(hold)
    if (isStopping) void settler.giveBackWaiting()
    else void handlers.run(key, () => handle(hold, received))
  }

  async function handle(hold: Hold, received: Received): Promise<void> {
    waiting.delete(hold)
    if (!hold.isOver) await settler.handle(hold, received)
  }

  const receiver = createReceiver({
    client,
    queueUrl,
    visibilityTimeoutMs: settings.visibilityTimeoutMs,
    waitTimeMs: settings.waitTimeMs,
    clock: systemClock,
    report,
    room,
    onMessages: (messages, asked) => {
      reserved -= asked
      messages.forEach(accept)
    },
  })

  async function stop(graceMs: number): Promise<void> {
    isStopping = true
    const givenBack = settler.giveBackWaiting()
    await receiver.stop()
    await within(graceMs, handlers.whenBelow())
    if (handlers.size > 0) {
      holds.abort(new Error('the consumer stops and the grace period is over'))
      await within(afterAbortMs, handlers.whenBelow())
      await holds.giveBack([...holds.all], 0)
    }
    await givenBack
    holds.close()
    report({ type: 'consumer.stopped' })
  }

  return {
    name: 'sqs',
    start: async () => {
      if (isStarted || stopped !== null)
        throw new OutboxError('CONSUMER_STATE', 'a consumer starts once: create another one to consume again')
      isStarted = true
      holds.open()
      // One request brings ten messages at the most.
      receiver.start(Math.ceil(concurrency / 10))
      report({ type: 'consumer.started' })
    },
    stop: ({ graceMs = 10_000 } = {}) => {
      stopped ??= isStarted ? stop(graceMs) : Promise.resolve()
      return stopped
    },
  }
}

function decode(raw: Message, topic: string): Received {
  try {
    return { message: decodeMessage(raw, topic), error: null }
  } catch (error) {
    return { message: null, error }
  }
}
