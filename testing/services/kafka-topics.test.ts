import { describe, expect, it } from 'vitest'
import { harnessFailure } from '../harness-error.ts'
import { createKafkaTopics } from './kafka-topics.ts'

type Fake = ReturnType<Parameters<typeof createKafkaTopics>[0]['admin']>

/** A broker that has just created a topic: no partition first, then no leader (code 5), then one that refuses, then service. */
function aClient(stages: readonly ('unknown' | 'leaderless' | 'refusing' | 'serving')[], refusals = 0) {
  let stage = -1
  let open = 0
  const now = () => stages[Math.min(stage, stages.length - 1)]
  const admin: Fake = {
    connect: () => Promise.resolve(void open++),
    disconnect: () => Promise.resolve(void open--),
    createTopics: () => (refusals-- > 0 ? Promise.reject(new Error('NOT_CONTROLLER')) : Promise.resolve(true)),
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
  return { admin: () => admin, asked: () => stage + 1, open: () => open }
}

describe('creating Kafka topics', () => {
  it('waits until each partition has a leader and the leader serves', async () => {
    const client = aClient(['unknown', 'leaderless', 'refusing', 'serving'])

    await createKafkaTopics(client, [{ topic: 't', numPartitions: 1 }])

    expect(client.asked()).toBe(4)
    expect(client.open()).toBe(0)
  })

  it('asks again when a broker that has just come back does not create them', async () => {
    const client = aClient(['serving'], 2)

    await createKafkaTopics(client, [{ topic: 't', numPartitions: 1 }])

    await expect(createKafkaTopics(aClient(['serving'], 1), [{ topic: 't' }], 0)).rejects.toThrow('NOT_CONTROLLER')
    expect(client.asked()).toBe(1)
  })

  it.each([
    ['unknown', 'UNKNOWN_TOPIC_OR_PARTITION'],
    ['leaderless', '0 of 1 partitions have one'],
    ['refusing', 'NOT_LEADER'],
  ] as const)('fails as a harness when a topic stays %s', async (stage, why) => {
    const client = aClient([stage])
    const creating = () => createKafkaTopics(client, [{ topic: 't', numPartitions: 1 }], 0)

    await expect(creating()).rejects.toThrow(harnessFailure)
    await expect(creating()).rejects.toThrow(why)
    expect(client.open()).toBe(0)
  })
})
