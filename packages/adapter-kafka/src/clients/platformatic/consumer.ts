import { OutboxError } from '@malote/outbox-core'
import type { Clock } from '@malote/outbox-core/adapter'
import type { FetchedBatch, KafkaConsumer, KafkaGroup, TopicPartition } from '../../client.ts'
import { createGroupEvents, timesOf } from '../group.ts'
import { createSession, type Session } from './session.ts'
import type { PlatformaticConnection } from './settings.ts'

/** A consumer of a group that is not connected yet. After a failure `run` makes a new member of the group. */
export function createConsumer(connection: PlatformaticConnection, group: KafkaGroup, clock: Clock): KafkaConsumer {
  const events = createGroupEvents()
  let subscription: { readonly topics: readonly string[]; readonly fromBeginning: boolean } = {
    topics: [],
    fromBeginning: true,
  }
  let session: Session | null = null
  let isLeft = false

  function begin(eachBatch: (fetched: FetchedBatch) => Promise<void>): Session {
    const { joined, crashed } = events
    const failed = (error: Error): void => crashed(error, false)
    return createSession(
      { connection, groupId: group.groupId, ...timesOf(group), ...subscription, eachBatch, joined, failed },
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
    on: events.on,
  }
}
