import { OutboxError } from '@malote/outbox-core'
import type { Clock } from '@malote/outbox-core/adapter'
import type { FetchedBatch, TopicPartition } from './client.ts'
import type { ResolvedKafkaConsumerOptions } from './options.ts'

/** Our membership in the consumer group: joining, being assigned partitions, losing the broker, coming back. */
export interface Group {
  /** Resolves when the group has met. @throws what the client says when it gives up */
  start(): Promise<void>
  /** Asks a client that tells of no assignments by itself. */
  refresh(): void
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
  const { consumer, report } = options
  const met = Promise.withResolvers<void>()
  let member: string | null = null
  let asked = ''
  let failures = 0

  function onJoined({ memberId, memberAssignment }: Joined): void {
    const places = Object.entries(memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    )
    events.assigned(places, member !== memberId)
    member = memberId
    met.resolve()
    if (failures > 0) report({ type: 'consumer.reconnected' })
    failures = 0
  }

  function onCrashed({ error, restart }: Crashed): void {
    if (stopping.aborted) return
    if (member === null && !restart) return met.reject(error)
    const retryInMs = options.reconnectBackoff(++failures)
    events.disconnected(error)
    report({ type: 'consumer.disconnected', error, retryInMs })
    if (!restart) void reconnect(retryInMs)
  }

  async function reconnect(afterMs: number): Promise<void> {
    await clock.sleep(afterMs, stopping)
    if (stopping.aborted) return
    try {
      await consumer.connect()
      await run()
    } catch (error) {
      onCrashed({ error: error instanceof Error ? error : new Error(String(error)), restart: false })
    }
  }

  /**
   * Of the two clients only Confluent's can be asked for the assignment. It refuses listeners, and the settings that kafkajs takes
   * here belong into its configuration.
   */
  const isTold = consumer.assignment === undefined
  const run = (): Promise<void> =>
    consumer.run({
      ...(isTold ? { autoCommit: false } : {}),
      eachBatchAutoResolve: false,
      eachBatch: (fetched) => (refresh(), events.eachBatch(fetched)),
    })

  function refresh(): void {
    if (consumer.assignment === undefined) return
    const places = consumer.assignment()
    const now = places.map(({ topic, partition }) => `${topic}/${String(partition)}`).join(' ')
    if (now === asked) return
    asked = now
    events.assigned(places, false)
  }

  async function join(): Promise<void> {
    await consumer.connect()
    const topics = [...options.topics]
    await consumer.subscribe(isTold ? { topics, fromBeginning: options.fromBeginning } : { topics })
    await run()
    if (isTold) await met.promise
  }

  return {
    start: async () => {
      if (isTold) {
        consumer.on?.('consumer.group_join', ({ payload }) => onJoined(payload as Joined))
        consumer.on?.('consumer.crash', ({ payload }) => onCrashed(payload as Crashed))
      }
      met.promise.catch(() => {}) // Told below to whoever waits; nobody does once the group has met.
      stopping.addEventListener('abort', () =>
        met.reject(new OutboxError('CONSUMER_STATE', 'stopped before the start')),
      )
      try {
        await join()
      } catch (error) {
        await consumer.disconnect().catch(() => {}) // What failed is the start: its error is the one to tell.
        throw error
      }
    },
    refresh,
    leave: () => consumer.disconnect(),
  }
}
