import { eventually } from '@malote/outbox-core/testing'
import { type KafkaService, startKafka } from '@malote/testing/services/kafka'
import { scaled } from '@malote/testing/slowness'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKafkaPublisher, producerDefaults } from '../src/index.ts'
import { aMessage, connectKafka, type KafkaBroker, kafkaClient } from './kafka-broker.ts'

const never = new AbortController().signal

/** A broker of its own, to be stopped in the middle of things. */
describe('a broker that hangs', () => {
  let service: KafkaService
  let broker: KafkaBroker

  beforeAll(async () => {
    service = await startKafka({ exclusive: true })
    broker = await connectKafka(service.brokers)
  })
  afterAll(async () => {
    await broker.close()
    await service.dispose()
  })

  it('swallows nothing: what was aborted may arrive late, and what is sent after it arrives too', async () => {
    const topic = await broker.topic({ partitions: 1 })
    const publisher = broker.publisher({ concurrency: 1 })
    const [first, late, next] = [aMessage({ topic }), aMessage({ topic }), aMessage({ topic })]
    await publisher.publish([first], never)

    const resume = await service.pause()
    const results = await publisher.publish([late], AbortSignal.timeout(300))
    await resume()
    const after = await publisher.publish([next], never)

    expect(results).toMatchObject([{ failure: { kind: 'retryable', code: 'ABORTED' } }])
    expect(after).toMatchObject([{ status: 'accepted' }])
    await eventually(async () => {
      const ids = (await broker.read(topic)).map((record) => record.id)
      expect(ids).toEqual(expect.arrayContaining([first.id, late.id, next.id]))
    })
  })

  it('does not keep close waiting for ever', async () => {
    const topic = await broker.topic()
    const kafka = kafkaClient(service.brokers)
    const publisher = createKafkaPublisher({ producer: () => kafka.producer(producerDefaults), source: '/tests' })
    await publisher.publish([aMessage({ topic })], never)

    const resume = await service.pause()
    await publisher.publish([aMessage({ topic })], AbortSignal.timeout(100))
    const startedMs = performance.now()
    await publisher.close()
    const tookMs = performance.now() - startedMs
    await resume()

    expect(tookMs).toBeLessThan(scaled(3_000))
  })
})
