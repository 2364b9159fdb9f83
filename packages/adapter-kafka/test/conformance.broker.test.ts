import { consumerConformance, publisherConformance } from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { openConsumerStores } from '@malote/testing/consumer-stores'
import { startKafka } from '@malote/testing/services/kafka'
import { afterAll, beforeAll, describe, inject } from 'vitest'
import { clients } from './clients.ts'
import { consumerHarness, publisherHarness, type Surroundings } from './conformance-harness.ts'
import { connectKafka } from './kafka-broker.ts'

describe.each(Object.entries(clients))('%s', (name, connect) => {
  let surroundings: Surroundings

  // A broker of its own: cases stop it.
  beforeAll(async () => {
    const service = await startKafka({ exclusive: true })
    const broker = await connectKafka(service.brokers)
    surroundings = { service, broker, stores: await openConsumerStores(inject('postgresUrl')), connect }
  })
  afterAll(async () => {
    await surroundings.stores.close()
    await surroundings.broker.close()
    await surroundings.service.dispose()
  })

  const subject = `kafka (${name})`
  let publisher: ReturnType<typeof publisherHarness> | undefined
  let consumer: ReturnType<typeof consumerHarness> | undefined
  describeConformance('publisher', subject, publisherConformance, () => (publisher ??= publisherHarness(surroundings)))
  describeConformance('consumer', subject, consumerConformance, () => (consumer ??= consumerHarness(surroundings)), {
    unacknowledged:
      'Kafka keeps no count of what it handed out: a consumer that reads ahead is bounded by maxBufferedMessages',
  })
})
