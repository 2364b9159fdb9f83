import { consumerConformance, publisherConformance, splitConformance } from '@malote/outbox-core/testing'
import { type RabbitmqService, startRabbitmq } from '@malote/testing/services/rabbitmq'
import { afterAll, beforeAll, describe, it } from 'vitest'
import {
  createConsumerHarness,
  createPublisherHarness,
  type RabbitmqConsumerHarness,
  type RabbitmqPublisherHarness,
} from './rabbitmq-harness.ts'

/** The kits crash the broker, so they have one of their own. */
let broker: RabbitmqService
beforeAll(async () => {
  broker = await startRabbitmq({ exclusive: true })
})
afterAll(() => broker.dispose())

describe('a RabbitMQ publisher conforms', () => {
  let harness: RabbitmqPublisherHarness
  beforeAll(async () => {
    harness = await createPublisherHarness(broker)
  })
  afterAll(() => harness.close())

  const { applicable } = splitConformance(publisherConformance, {
    ordersByBrokerKey: 'RabbitMQ orders whole queues, not keys',
  })
  it.each(applicable)('$name', (one) => one.run(harness))
})

describe('a RabbitMQ consumer conforms', () => {
  let harness: RabbitmqConsumerHarness
  beforeAll(async () => {
    harness = await createConsumerHarness(broker)
  })
  afterAll(() => harness.close())

  const { applicable } = splitConformance(consumerConformance, {
    holdTimeoutMs: 'RabbitMQ leaves a message with its consumer for as long as the connection lives',
  })
  it.each(applicable)('$name', (one) => one.run(harness))
})
