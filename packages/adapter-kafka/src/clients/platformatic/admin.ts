import { Admin, ListOffsetTimestamps } from '@platformatic/kafka'
import type { KafkaOffsetsAdmin } from '../../client.ts'
import { telling } from './failures.ts'
import { fixedSettings, type PlatformaticConnection } from './settings.ts'

/** Connects for each question, and closes. */
export function createAdmin(connection: PlatformaticConnection): KafkaOffsetsAdmin {
  async function asking<Answer>(ask: (admin: Admin) => Promise<Answer>): Promise<Answer> {
    const admin = new Admin({ ...connection, ...fixedSettings })
    try {
      return await telling(() => ask(admin))
    } finally {
      await admin.close()
    }
  }

  return {
    fetchTopicOffsets: (topic) =>
      asking(async (admin) => {
        const { topics } = await admin.metadata({ topics: [topic] })
        const numbers = Array.from({ length: topics.get(topic)?.partitionsCount ?? 0 }, (_, partition) => partition)
        const endsAt = async (timestamp: bigint): Promise<Map<number, string>> => {
          const partitions = numbers.map((partitionIndex) => ({ partitionIndex, timestamp }))
          const [listed] = await admin.listOffsets({ topics: [{ name: topic, partitions }] })
          return new Map(listed?.partitions.map(({ partitionIndex, offset }) => [partitionIndex, String(offset)]))
        }
        const [low, high] = [await endsAt(ListOffsetTimestamps.EARLIEST), await endsAt(ListOffsetTimestamps.LATEST)]
        return numbers.map((partition) => ({
          partition,
          low: low.get(partition) ?? '0',
          high: high.get(partition) ?? '0',
        }))
      }),
    fetchOffsets: ({ groupId, topics }) =>
      asking(async (admin) => {
        const groups = await admin.listConsumerGroupOffsets({ groups: [groupId] })
        const known = groups.flatMap((group) => group.topics).filter(({ name }) => topics.includes(name))
        return known.map(({ name: topic, partitions }) => ({
          topic,
          partitions: partitions.map(({ partitionIndex, committedOffset }) => ({
            partition: partitionIndex,
            offset: String(committedOffset),
          })),
        }))
      }),
  }
}
