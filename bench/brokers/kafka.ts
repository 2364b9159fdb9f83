import { createKafkaPublisher, producerDefaults } from '@malote/adapter-kafka'
import { startKafka } from '@malote/testing/services/kafka'
import { createKafkaTopics } from '@malote/testing/services/kafka-topics'
import { Kafka, logLevel } from 'kafkajs'
import { payloadText, topic } from '../harness/load.ts'
import { type BrokerRig, envelopeOf, source } from './broker-rig.ts'

const producers = 4
const batchSize = 500

export async function createKafkaRig(): Promise<BrokerRig> {
  const broker = await startKafka()
  const kafka = new Kafka({ brokers: [...broker.brokers], logLevel: logLevel.NOTHING })
  await createKafkaTopics(kafka, [{ topic, numPartitions: 6 }])
  const alone = Array.from({ length: producers }, () => kafka.producer(producerDefaults))
  await Promise.all(alone.map((producer) => producer.connect()))
  return {
    name: 'kafka',
    configuration: `Kafka (${broker.origin}), 6 partitions; alone: kafkajs, ${String(producers)} idempotent producers with one request of ${String(batchSize)} in flight each`,
    publisher: () => createKafkaPublisher({ producer: () => kafka.producer(producerDefaults), source }),
    reset: () => Promise.resolve(), // A log takes the next record at the same cost, however long it is.
    publishAlone: async (count) => {
      let left = count
      await Promise.all(
        alone.map(async (producer) => {
          while (left > 0) {
            const size = Math.min(left, batchSize)
            left -= size
            await producer.send({ topic, messages: Array.from({ length: size }, aRecord) })
          }
        }),
      )
    },
    close: async () => {
      await Promise.all(alone.map((producer) => producer.disconnect()))
      await broker.dispose()
    },
  }
}

function aRecord(): { key: string; value: Buffer; headers: Record<string, string> } {
  const { id, headers } = envelopeOf('ce_')
  return { key: id, value: Buffer.from(payloadText), headers }
}
