import { describe, expect, it } from 'vitest'
import { harnessFailure } from '../harness-error.ts'
import { createKafkaTopics } from './kafka-topics.ts'

type Fake = Parameters<typeof createKafkaTopics>[0]

/** A broker that has just created a topic: no partition first, then no leader (code 5), then one that refuses, then service. */
function anAdmin(stages: readonly ('unknown' | 'leaderless' | 'refusing' | 'serving')[]): Fake & { asked(): number } {
  let stage = -1
  const now = () => stages[Math.min(stage, stages.length - 1)]
  return {
    asked: () => stage + 1,
    createTopics: () => Promise.resolve(true),
    fetchTopicMetadata: () => {
      stage++
      if (now() === 'unknown') return Promise.reject(new Error('UNKNOWN_TOPIC_OR_PARTITION'))
      const leads = now() !== 'leaderless'
      const partition = {
        partitionId: 0,
        leader: leads ? 1 : -1,
        partitionErrorCode: leads ? 0 : 5,
        replicas: [],
        isr: [],
      }
      return Promise.resolve({ topics: [{ name: 't', partitions: [partition] }] })
    },
    fetchTopicOffsets: () => (now() === 'serving' ? Promise.resolve([]) : Promise.reject(new Error('NOT_LEADER'))),
  }
}

describe('creating Kafka topics', () => {
  it('waits until each partition has a leader and the leader serves', async () => {
    const admin = anAdmin(['unknown', 'leaderless', 'refusing', 'serving'])

    await createKafkaTopics(admin, [{ topic: 't', numPartitions: 1 }])

    expect(admin.asked()).toBe(4)
  })

  it.each([
    ['unknown', 'UNKNOWN_TOPIC_OR_PARTITION'],
    ['leaderless', '0 of 1 partitions have one'],
    ['refusing', 'NOT_LEADER'],
  ] as const)('fails as a harness when a topic stays %s', async (stage, why) => {
    const creating = createKafkaTopics(anAdmin([stage]), [{ topic: 't', numPartitions: 1 }], 0)

    await expect(creating).rejects.toThrow(harnessFailure)
    await expect(createKafkaTopics(anAdmin([stage]), [{ topic: 't', numPartitions: 1 }], 0)).rejects.toThrow(why)
  })
})
