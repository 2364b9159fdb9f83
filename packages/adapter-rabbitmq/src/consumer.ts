import type { ConsumeMessage } from 'amqplib'
import { type Consumer, OutboxError } from '@malote/outbox-core'
import { createKeyedQueue, createMessageProcessor, startsOnce, systemClock } from '@malote/outbox-core/adapter'
import { createLetterDelays } from './dead-letter.ts'
import { createMessageHandler, type Handling, type MessageHandler } from './handle-message.ts'
import { isInvalidOption } from './connection.ts'
import { createMover } from './mover.ts'
import {
  type RabbitmqConsumerOptions,
  type ResolvedRabbitmqConsumerOptions,
  resolveRabbitmqConsumerOptions,
} from './options.ts'
import { openSession, type Session } from './session.ts'

/** A session that ended sooner is counted as a failure, so that the pause before the next one grows. */
const healthyMs = 5_000

/**
 * Consumes one queue (see `assertTopology`). A message is acknowledged after its handler resolved, or after the dead-letter or retry queue confirmed it.
 *
 * Messages of one ordering key are handled in order, also when one of them fails, as long as one consumer at a time has the
 * queue (`singleActiveConsumer`). What is not promised: order across a dead letter (its key goes on, unless
 * `afterDeadLetter` is `hold`), and without a `store` a count of attempts that survives a crash exactly (RabbitMQ counts redeliveries, also of
 * messages that had only been prefetched).
 *
 * RabbitMQ closes a channel that keeps a message unacknowledged for longer than `consumer_timeout` (30 minutes by
 * default): handlers, and pauses between the attempts of a message with a key, must be shorter.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createRabbitmqConsumer(options: RabbitmqConsumerOptions): Consumer {
  const consumer = new RabbitmqConsumer(resolveRabbitmqConsumerOptions(options))
  return { name: 'rabbitmq', start: () => consumer.start(), stop: (stopping) => consumer.stop(stopping) }
}

class RabbitmqConsumer {
  readonly #options: ResolvedRabbitmqConsumerOptions
  readonly #draining = new AbortController()
  readonly #graceOver = new AbortController()
  readonly #handling: Handling
  readonly #handle: MessageHandler
  readonly #started = Promise.withResolvers<void>()
  readonly #attending = new Set<Promise<void>>()
  #session: Session | null = null
  #released: Promise<void> = Promise.resolve()
  #running: Promise<void> | null = null
  #stopping: Promise<void> | null = null

  constructor(options: ResolvedRabbitmqConsumerOptions) {
    this.#options = options
    this.#handling = {
      options,
      mover: createMover(options.connect, options.reconnectBackoff),
      keys: createKeyedQueue(Number.POSITIVE_INFINITY),
      processor: createMessageProcessor(options),
      letterDelays: createLetterDelays(options.retryDelaysMs),
      draining: this.#draining.signal,
      graceOver: this.#graceOver.signal,
    }
    this.#handle = createMessageHandler(this.#handling)
  }

  async start(): Promise<void> {
    if (this.#running !== null || this.#stopping !== null) throw startsOnce()
    this.#running = this.#run()
    const { processor, draining: ending, graceOver } = this.#handling
    this.#released = processor.handleReleased({ ending, graceOver })
    await this.#started.promise
  }

  async stop({ graceMs = 10_000 }: Parameters<Consumer['stop']>[0] = {}): Promise<void> {
    this.#started.promise.catch(() => {}) // Nobody waits for a start that was never called.
    this.#stopping ??= this.#drain(graceMs)
    await this.#stopping
  }

  /** From connection to connection until the consumer stops. Never rejects. */
  async #run(): Promise<void> {
    const { signal } = this.#draining
    let sessions = 0
    for (let failures = 1; !signal.aborted; failures++) {
      const beganMs = systemClock.monotonicMs()
      try {
        const opened = await openSession(this.#options, (message, from) => this.#onMessage(message, from))
        if (signal.aborted) return await opened.end(new Error('the consumer was stopped'))
        this.#session = opened
        this.#options.report({ type: sessions++ === 0 ? 'consumer.started' : 'consumer.reconnected' })
        this.#started.resolve()
        await aborted(opened.over)
        this.#session = null
        if (signal.aborted) return
        void opened.end(new Error('the session is over'))
        if (systemClock.monotonicMs() - beganMs > healthyMs) failures = 1
        await this.#pauseAfter(opened.over.reason, failures)
      } catch (error) {
        if (signal.aborted) return
        if (isInvalidOption(error)) return this.#started.reject(error)
        await this.#pauseAfter(error, failures)
      }
    }
  }

  #onMessage(message: ConsumeMessage, from: Session): void {
    const work = this.#handle(message, from)
      // Only an option of the caller's that throws (`backoff`) ends here: the message goes back, after a pause.
      .catch((error: unknown) => from.end(error))
      .finally(() => this.#attending.delete(work))
    this.#attending.add(work)
  }

  async #pauseAfter(error: unknown, failures: number): Promise<void> {
    const retryInMs = this.#options.reconnectBackoff(failures)
    this.#options.report({ type: 'consumer.disconnected', error, retryInMs })
    await systemClock.sleep(retryInMs, this.#draining.signal)
  }

  async #drain(graceMs: number): Promise<void> {
    this.#draining.abort()
    this.#started.reject(new OutboxError('CONSUMER_STATE', 'the consumer was stopped before it could connect'))
    const over = new AbortController()
    await Promise.race([
      Promise.allSettled([...this.#attending, this.#released]),
      systemClock.sleep(graceMs, over.signal),
    ])
    over.abort()
    this.#graceOver.abort(new Error('the grace period of stop() is over'))
    await Promise.all([this.#session?.end(new Error('the consumer was stopped')), this.#handling.mover.close()])
    if (this.#running !== null) this.#options.report({ type: 'consumer.stopped' })
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
