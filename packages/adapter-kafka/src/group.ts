import { OutboxError } from '@malote/outbox-core'
import type { Clock } from '@malote/outbox-core/adapter'
import type { FetchedBatch, TopicPartition } from './client.ts'
import type { ResolvedKafkaConsumerOptions } from './options.ts'

/** Our membership in the consumer group: joining, being assigned partitions, losing the broker, coming back. */
export interface Group {
  /** Resolves when the group has met. @throws what the client says when it gives up */
  start(): Promise<void>
  leave(): Promise<void>
}

export interface GroupEvents {
  eachBatch(fetched: FetchedBatch): Promise<void>
  /** `afresh`: the group had thrown us out meanwhile, so that others may have had the partitions. */
  assigned(places: readonly TopicPartition[], afresh: boolean): void
  disconnected(error: Error): void
}

interface Joined {
  readonly memberId: string
  readonly memberAssignment: Readonly<Record<string, readonly number[]>>
}

interface Crashed {
  readonly error: Error
  /** The client starts again by itself. */
  readonly restart: boolean
}

export function createGroup(
  options: ResolvedKafkaConsumerOptions,
  clock: Clock,
  stopping: AbortSignal,
  events: GroupEvents,
): Group {
  return new Membership(options, clock, stopping, events)
}

class Membership implements Group {
  readonly #options: ResolvedKafkaConsumerOptions
  readonly #clock: Clock
  readonly #stopping: AbortSignal
  readonly #events: GroupEvents
  readonly #met = Promise.withResolvers<void>()
  #memberId: string | null = null
  #failures = 0

  constructor(options: ResolvedKafkaConsumerOptions, clock: Clock, stopping: AbortSignal, events: GroupEvents) {
    this.#options = options
    this.#clock = clock
    this.#stopping = stopping
    this.#events = events
  }

  async start(): Promise<void> {
    const { consumer } = this.#options
    consumer.on('consumer.group_join', ({ payload }) => this.#onJoined(payload as Joined))
    consumer.on('consumer.crash', ({ payload }) => this.#onCrashed(payload as Crashed))
    this.#met.promise.catch(() => {}) // Told below to whoever waits; nobody does once the group has met.
    this.#stopping.addEventListener('abort', () =>
      this.#met.reject(new OutboxError('CONSUMER_STATE', 'stopped before the start')),
    )
    try {
      await this.#join()
    } catch (error) {
      await this.leave().catch(() => {}) // What failed is the start: its error is the one to tell.
      throw error
    }
  }

  leave(): Promise<void> {
    return this.#options.consumer.disconnect()
  }

  async #join(): Promise<void> {
    const { consumer, fromBeginning, topics } = this.#options
    await consumer.connect()
    await consumer.subscribe({ topics: [...topics], fromBeginning })
    await this.#run()
    await this.#met.promise
  }

  #run(): Promise<void> {
    return this.#options.consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: (fetched) => this.#events.eachBatch(fetched),
    })
  }

  #onJoined({ memberId, memberAssignment }: Joined): void {
    const places = Object.entries(memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    )
    this.#events.assigned(places, this.#memberId !== memberId)
    this.#memberId = memberId
    this.#met.resolve()
    if (this.#failures > 0) this.#options.report({ type: 'consumer.reconnected' })
    this.#failures = 0
  }

  #onCrashed({ error, restart }: Crashed): void {
    if (this.#stopping.aborted) return
    if (this.#memberId === null && !restart) return this.#met.reject(error)
    const retryInMs = this.#options.reconnectBackoff(++this.#failures)
    this.#events.disconnected(error)
    this.#options.report({ type: 'consumer.disconnected', error, retryInMs })
    if (!restart) void this.#reconnect(retryInMs)
  }

  async #reconnect(afterMs: number): Promise<void> {
    await this.#clock.sleep(afterMs, this.#stopping)
    if (this.#stopping.aborted) return
    try {
      await this.#options.consumer.connect()
      await this.#run()
    } catch (error) {
      this.#onCrashed({ error: error instanceof Error ? error : new Error(String(error)), restart: false })
    }
  }
}
