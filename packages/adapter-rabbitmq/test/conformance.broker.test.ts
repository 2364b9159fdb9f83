import { type ConsumerEvent, PermanentFailure } from '@malote/outbox-core'
import { anOutboxMessage, consumerConformance, eventually, publisherConformance } from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { type ConsumerStores, openConsumerStores } from '@malote/testing/consumer-stores'
import { type RabbitmqService, startRabbitmq } from '@malote/testing/services/rabbitmq'
import { scaled } from '@malote/testing/slowness'
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createRabbitmqConsumer, createRabbitmqPublisher, deadLetterQueueOf } from '../src/index.ts'
import {
  createConsumerHarness,
  createPublisherHarness,
  exchange,
  type RabbitmqConsumerHarness,
  type RabbitmqPublisherHarness,
} from './rabbitmq-harness.ts'

// The kits crash the broker and starve it, so they have one of their own; the shared one tells whether there can be any.
describe.skipIf(inject('rabbitmqUrl') === '')('on a broker of its own', () => {
  let broker: RabbitmqService
  let publishing: RabbitmqPublisherHarness
  let consuming: RabbitmqConsumerHarness
  let stores: ConsumerStores
  beforeAll(async () => {
    broker = await startRabbitmq({ exclusive: true })
    publishing = await createPublisherHarness(broker)
    stores = await openConsumerStores(inject('postgresUrl'))
    consuming = await createConsumerHarness(broker, stores)
  })
  afterAll(async () => {
    await Promise.all([publishing.close(), consuming.close()])
    await stores.close()
    await broker.dispose()
  })

  it('a broker short of memory is an outage for the publisher, and acknowledgements still get through', async () => {
    const topic = await consuming.freshTopic()
    const connecting = (): ReturnType<typeof connect> => connect(broker.url)
    const publisher = createRabbitmqPublisher({ connect: connecting, source: '/tests', exchange })
    const handled: string[] = []
    const handler = ({ message }: { message: { id: string } }): Promise<void> =>
      Promise.resolve(void handled.push(message.id))
    const consumer = createRabbitmqConsumer({ connect: connecting, queue: topic, handler })
    const message = anOutboxMessage({ topic })
    await consuming.send([message])

    await broker.ctl('set_vm_memory_high_watermark', '0.000001')
    const first = await publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(scaled(1_000)))
    const second = publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(scaled(1_000)))

    expect(first[0]).toMatchObject({ status: 'failed', failure: { code: 'ABORTED' } })
    await expect(second).rejects.toMatchObject({ code: 'PUBLISH_OUTAGE' })
    await consumer.start()
    await eventually(() => expect(handled).toContain(message.id))
    await consumer.stop()

    await broker.ctl('set_vm_memory_high_watermark', '0.6')
    await eventually(async () => {
      const results = await publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(scaled(1_000)))
      expect(results[0]?.status).toBe('accepted')
    })
    await publisher.close()
  })

  // RabbitMQ keeps a channel that a full quorum queue refused out for good when the limit is lifted (rabbitmq-server#12206).
  it('a limit of a queue that an operator lifts keeps neither dead letters nor publishes out any longer', async () => {
    const [topic, full] = [await consuming.freshTopic(), await consuming.freshTopic()]
    const publisher = createRabbitmqPublisher({ connect: () => connect(broker.url), source: '/tests', exchange })
    const publish = async (): Promise<string | undefined> => {
      const batch = [anOutboxMessage({ topic: full })]
      return (await publisher.publish(batch, AbortSignal.timeout(scaled(5_000))))[0]?.status
    }
    const events: string[] = []
    const handler = (): Promise<void> => Promise.reject(new PermanentFailure('never'))
    const onEvent = ({ type }: ConsumerEvent): void => void events.push(type)
    const consumer = createRabbitmqConsumer({ connect: () => connect(broker.url), queue: topic, handler, onEvent })
    const limit = JSON.stringify({ 'max-length': 0, overflow: 'reject-publish' })
    const limited = `^(${deadLetterQueueOf(topic)}|${full})$`
    await broker.ctl('set_policy', 'full', limited, limit, '--apply-to', 'queues')
    await consumer.start()
    let letters = 0
    // The queues hear of the policy some time after the command has ended, and let a few messages pass until then.
    await eventually(async () => {
      await consuming.send([anOutboxMessage({ topic })])
      letters++
      expect(events).toContain('message.dead-letter-failed')
      expect(await publish()).toBe('failed')
    })

    await broker.ctl('clear_policy', 'full')

    await eventually(async () => {
      expect(await consuming.deadLetters(topic)).toHaveLength(letters)
      expect(await publish()).toBe('accepted')
    })
    await Promise.all([consumer.stop(), publisher.close()])
  })

  describeConformance('publisher', 'rabbitmq', publisherConformance, () => publishing, {
    ordersByBrokerKey: 'RabbitMQ orders whole queues, not keys',
  })

  describeConformance('consumer', 'rabbitmq', consumerConformance, () => consuming, {
    narrowDeadLetterPlace: 'RabbitMQ has one size for every queue: what was once taken fits again',
    holdTimeoutMs: 'RabbitMQ leaves a message with its consumer for as long as the connection lives',
  })
})
