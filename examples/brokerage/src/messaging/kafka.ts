import { consumerDefaults, createKafkaConsumer, createKafkaPublisher, producerDefaults } from '@malote/adapter-kafka'
import { Kafka, logLevel } from 'kafkajs'
import { allTopics } from '../orders/order-events.ts'
import type { Broker } from './broker.ts'

/** More than one, so that accounts are spread; the order of one account is kept within its partition. */
const partitions = 4

/** Makes the topics that do not exist yet, each with one for its dead letters. */
export async function prepareKafka(brokers: string): Promise<void> {
  const admin = connect(brokers).admin()
  await admin.connect()
  try {
    await admin.createTopics({
      waitForLeaders: true,
      topics: allTopics.flatMap((topic) => [
        { topic, numPartitions: partitions },
        { topic: `${topic}.dead`, numPartitions: 1 },
      ]),
    })
  } finally {
    await admin.disconnect()
  }
}

export function createKafkaBroker(brokers: string): Promise<Broker> {
  const kafka = connect(brokers)
  const producer = () => kafka.producer(producerDefaults)
  return Promise.resolve({
    createPublisher: () => createKafkaPublisher({ producer, source: '/brokerage' }),
    // A group of its own for each subscription: every group gets every message of its topics.
    createConsumer: ({ queue, topics }, options) =>
      createKafkaConsumer({
        ...options,
        consumer: kafka.consumer({ ...consumerDefaults, groupId: `brokerage-${queue}` }),
        producer,
        topics: [...topics],
      }),
    close: () => Promise.resolve(), // Publishers and consumers close the connections they opened.
  })
}

/** @param brokers - host:port, comma separated */
function connect(brokers: string): Kafka {
  // What kafkajs has to say about a broker that is away, the relay and the consumers report themselves.
  return new Kafka({ clientId: 'brokerage', brokers: brokers.split(','), logLevel: logLevel.NOTHING })
}
