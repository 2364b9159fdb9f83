import { PublishOutageError } from '@malote/outbox-core'
import { invalidOption, systemClock, within } from '@malote/outbox-core/adapter'
import type { KafkaProducer } from './client.ts'

/** Longest `close` waits for goodbyes, in milliseconds: a client waits for the answers of a broker that hangs. */
const goodbyeMs = 2_000

/** Connected producers, each for one request at a time; one that failed is never used again. */
export interface ProducerPool {
  /**
   * Runs the task with a producer of its own.
   *
   * @throws PublishOutageError when no producer could connect, `signal.reason` as soon as the signal aborts, or what the task threw
   */
  use<Result>(task: (producer: KafkaProducer) => Promise<Result>, signal: AbortSignal): Promise<Result>
  /** Disconnects every producer. No task may be running. */
  close(): Promise<void>
}

/** @throws OutboxError `INVALID_OPTION` when `create` makes a producer that says it is not idempotent */
export function createProducerPool(create: () => KafkaProducer, size: number): ProducerPool {
  return new Pool(create, size)
}

class Pool implements ProducerPool {
  readonly #create: () => KafkaProducer
  readonly #size: number
  // Made at once, and connected on first use, so that a wrong setting shows at start and not at the first message.
  readonly #unused: KafkaProducer[]
  readonly #idle: KafkaProducer[] = []
  readonly #waiting: (() => void)[] = []
  readonly #leaving = new Set<Promise<void>>()
  #live = 0

  constructor(create: () => KafkaProducer, size: number) {
    this.#create = create
    this.#size = size
    this.#unused = [checked(create())]
  }

  async use<Result>(task: (producer: KafkaProducer) => Promise<Result>, signal: AbortSignal): Promise<Result> {
    const producer = await this.#acquire(signal)
    const work = task(producer)
    try {
      const result = await orAborted(work, signal)
      this.#idle.push(producer)
      this.#wakeAll()
      return result
    } catch (error) {
      this.#retire(producer, work)
      throw error
    }
  }

  async close(): Promise<void> {
    for (const producer of this.#idle.splice(0)) this.#retire(producer, Promise.resolve())
    await within(goodbyeMs, Promise.all(this.#leaving), systemClock)
  }

  async #acquire(signal: AbortSignal): Promise<KafkaProducer> {
    for (;;) {
      signal.throwIfAborted()
      const ready = this.#idle.pop()
      if (ready !== undefined) return ready
      if (this.#live < this.#size) return this.#connectOne(signal)
      await orAborted(new Promise<void>((resolve) => this.#waiting.push(resolve)), signal)
    }
  }

  async #connectOne(signal: AbortSignal): Promise<KafkaProducer> {
    const producer = this.#unused.pop() ?? checked(this.#create())
    this.#live++
    const connecting = producer.connect()
    try {
      await orAborted(connecting, signal)
      return producer
    } catch (error) {
      this.#retire(producer, connecting)
      if (signal.aborted) throw error
      const why = error instanceof Error ? error.message : String(error)
      throw new PublishOutageError(`cannot connect to Kafka: ${why}`, { cause: error })
    }
  }

  #retire(producer: KafkaProducer, work: Promise<unknown>): void {
    this.#live--
    this.#wakeAll()
    const left = leave(producer, work).finally(() => this.#leaving.delete(left))
    this.#leaving.add(left)
  }

  // A waiter that gave up is woken in vain and passes nothing on: so all look again.
  #wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

function checked(producer: KafkaProducer): KafkaProducer {
  if (producer.isIdempotent?.() === false)
    throw invalidOption(
      'producer',
      'one that is not idempotent',
      'made with `producerDefaults`, or at least `idempotent: true`',
    )
  return producer
}

async function leave(producer: KafkaProducer, work: Promise<unknown>): Promise<void> {
  // A failed goodbye leaves nothing to do: its connections are broken or end with the process.
  const disconnect = (): Promise<void> => producer.disconnect().catch(() => {})
  await disconnect()
  // An abandoned request of a client set to retry reconnects behind our back; once it has ended, nothing does any more.
  await work.then(disconnect, disconnect)
}

/** Settles as the promise does, or rejects with the signal's reason as soon as it aborts. */
async function orAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
