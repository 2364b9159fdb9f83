import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, ITopicConfig } from 'kafkajs'
import { HarnessError, preparing } from '../harness-error.ts'
import { scaled } from '../slowness.ts'

/**
 * Creates topics and resolves once every partition has a leader that serves. The broker promises less: it answers when the topics
 * are written down, names leaders later, and a leader that is named may still refuse (codes 3, 5 and 6).
 *
 * The connection is its own: asking kafkajs for one topic's metadata makes it forget those of every other topic, so whoever shares
 * an admin with this finds a topic without partitions in between.
 *
 * @param quietMs - how long a quiet machine may take, in milliseconds @defaultValue 15_000
 * @throws HarnessError with the broker's last refusal when a topic is not served in time
 */
export async function createKafkaTopics(
  kafka: { admin(): TopicsAdmin },
  topics: readonly ITopicConfig[],
  quietMs = 15_000,
): Promise<void> {
  const admin = kafka.admin()
  await preparing('create Kafka topics', async () => {
    await admin.connect()
    try {
      await createServed(admin, topics, quietMs)
    } finally {
      await admin.disconnect()
    }
  })
}

type TopicsAdmin = Pick<Admin, 'connect' | 'createTopics' | 'disconnect' | 'fetchTopicMetadata' | 'fetchTopicOffsets'>

async function createServed(admin: TopicsAdmin, topics: readonly ITopicConfig[], quietMs: number): Promise<void> {
  const deadlineMs = performance.now() + scaled(quietMs)
  const until = async (isDone: string, ask: () => Promise<string | null>): Promise<void> => {
    for (let refusal = await ask(); refusal !== null; refusal = await ask()) {
      if (performance.now() > deadlineMs) throw new HarnessError(`${isDone}: ${refusal}`)
      await sleep(50) // The broker tells nobody when it is ready: it has to be asked.
    }
  }
  // Asked for here: kafkajs itself gives up after its client's retries, which tests keep few.
  await until('Kafka does not create topics', () =>
    admin.createTopics({ topics: [...topics], waitForLeaders: false }).then(() => null, messageOf),
  )
  for (const { topic, numPartitions = 1 } of topics)
    await until(`the Kafka topic ${topic} has no serving leaders`, () => refusalOf(admin, topic, numPartitions))
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** What keeps the topic from being served, or null. */
async function refusalOf(admin: TopicsAdmin, topic: string, partitions: number): Promise<string | null> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    const led = topics[0]?.partitions.filter(
      ({ leader, partitionErrorCode }) => leader >= 0 && partitionErrorCode === 0,
    )
    if (led?.length !== partitions) return `${String(led?.length ?? 0)} of ${String(partitions)} partitions have one`
    await admin.fetchTopicOffsets(topic)
    return null
  } catch (error) {
    return messageOf(error)
  }
}
