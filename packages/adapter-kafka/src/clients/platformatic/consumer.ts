import { OutboxError } from '@malote/outbox-core'
import type { Clock } from '@malote/outbox-core/adapter'
import type { FetchedBatch, KafkaConsumer, KafkaGroup, TopicPartition } from '../../client.ts'
import { createSession, type Session } from './session.ts'
import type { PlatformaticConnection } from './settings.ts'

type Listener = (event: { payload: unknown }) => void

/** A consumer of a group that is not connected yet. After a failure `run` makes a new member of the group. */
export function createConsumer(connection: PlatformaticConnection, group: KafkaGroup, clock: Clock): KafkaConsumer {
  const listeners = { 'consumer.group_join': new Set<Listener>(), 'consumer.crash': new Set<Listener>() }
  const tell = (event: keyof typeof listeners, payload: unknown): void => {
    for (const listener of listeners[event]) listener({ payload })
  }
  let subscription: { readonly topics: readonly string[]; readonly fromBeginning: boolean } = {
    topics: [],
    fromBeginning: true,
  }
  let session: Session | null = null
  let isLeft = false

  function begin(eachBatch: (fetched: FetchedBatch) => Promise<void>): Session {
    const { groupId, sessionTimeoutMs = 30_000, rebalanceTimeoutMs = 60_000 } = group
    return createSession(
      {
        connection,
        groupId,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        ...subscription,
        eachBatch,
        joined: (memberId, places) => tell('consumer.group_join', { memberId, memberAssignment: byTopic(places) }),
        failed: (error) => tell('consumer.crash', { error, restart: false }),
      },
      clock,
    )
  }

  const allOf = (places: readonly { topic: string; partitions: number[] }[]): TopicPartition[] =>
    places.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))

  return {
    // Nothing is connected before `run`: a client that was closed is never opened again.
    connect: () => Promise.resolve(),
    subscribe: ({ topics, fromBeginning = false }) => {
      subscription = { topics, fromBeginning }
      return Promise.resolve()
    },
    run: async ({ eachBatch = () => Promise.resolve() }) => {
      if (isLeft) return
      session = begin(eachBatch)
      try {
        await session.join()
      } catch (error) {
        await session.close().catch(() => {}) // What failed is the joining: its error is the one to tell.
        throw error
      }
    },
    disconnect: async () => {
      isLeft = true
      await session?.close()
    },
    commitOffsets: async (offsets) => {
      if (session === null) throw new OutboxError('CONSUMER_STATE', 'the consumer is no member of its group')
      await session.commit(offsets)
    },
    seek: ({ topic, partition, offset }) => session?.seek({ topic, partition }, offset),
    pause: (places) => {
      for (const place of allOf(places)) session?.pause(place)
    },
    resume: (places) => {
      for (const place of allOf(places)) session?.resume(place)
    },
    on: (event, listener) => {
      listeners[event].add(listener)
      return () => void listeners[event].delete(listener)
    },
  }
}

function byTopic(places: readonly TopicPartition[]): Record<string, number[]> {
  const grouped = [...Map.groupBy(places, ({ topic }) => topic)]
  return Object.fromEntries(grouped.map(([topic, all]) => [topic, all.map(({ partition }) => partition)]))
}
