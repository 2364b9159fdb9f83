import { describe, expect, it } from 'vitest'
import { confluentClient, type ConfluentConsumerSettings, type ConfluentKafka } from '../src/clients/confluent.ts'

/** Does to what it is given what the client does, and notes it. With its addon the client itself is held to both kits: `npm run judges`. */
function recordingKafka(): { kafka: ConfluentKafka; said: string[]; settings: unknown[]; connected: () => void } {
  const said: string[] = []
  const settings: unknown[] = []
  const { promise: connecting, resolve: connected } = Promise.withResolvers<void>()
  const client = {
    connect: () => connecting.then(() => void said.push('connected')),
    disconnect: () => Promise.resolve(void said.push('disconnected')),
  }
  const kafka = {
    producer: (given: unknown) => {
      settings.push(given)
      const send = ({ messages }: { messages: { key: unknown; headers: unknown }[] }): Promise<void> => {
        for (const message of messages) {
          said.push(`sent ${String(message.key)}`)
          message.headers = Object.entries(message.headers as object).map(([name, value]) => ({
            [name]: value as unknown,
          }))
        }
        return messages[0]?.key === 'bad' ? Promise.reject(new Error('refused')) : Promise.resolve()
      }
      return { ...client, send }
    },
    consumer: (given: ConfluentConsumerSettings) => {
      settings.push(given)
      throw new Error('made')
    },
    admin: () => ({ ...client, connect: () => Promise.resolve(), fetchTopicMetadata: () => Promise.resolve({}) }),
  }
  return { kafka: kafka as unknown as ConfluentKafka, said, settings, connected }
}

const aRecord = (key: string) => ({ key, value: Buffer.from('{}'), headers: { ce_id: key } })

describe('the binding to the Confluent client', () => {
  it('sends copies: a record that failed is sent again with the headers it had', async () => {
    const { kafka } = recordingKafka()
    const record = aRecord('a')

    await confluentClient(kafka)
      .producer()
      .send({ topic: 'orders', messages: [record] })

    expect(record).toEqual(aRecord('a'))
  })

  it('tells of a failure after everything has settled', async () => {
    const { kafka, said } = recordingKafka()
    const producer = confluentClient(kafka).producer()

    const sending = producer.send({ topic: 'orders', messages: ['a', 'bad', 'c'].map((key) => aRecord(key)) })

    await expect(sending).rejects.toThrow('refused')
    expect(said).toEqual(['sent a', 'sent bad', 'sent c'])
  })

  it('disconnects after it has connected, also when it is told to before', async () => {
    const { kafka, said, connected } = recordingKafka()
    const producer = confluentClient(kafka).producer()

    const both = Promise.all([producer.connect(), producer.disconnect()])
    connected()
    await both

    expect(said).toEqual(['connected', 'disconnected'])
  })

  it('lifts the limit of librdkafka and lets no gap come into a partition', () => {
    const { kafka, settings } = recordingKafka()

    confluentClient(kafka).producer()

    expect(settings).toMatchObject([
      {
        'message.max.bytes': 1_000_000_000,
        'enable.gapless.guarantee': true,
        kafkaJS: { idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false },
      },
    ])
  })

  it('begins where the consumer is told to, and commits nothing by itself', async () => {
    const { kafka, settings } = recordingKafka()
    const consumer = confluentClient(kafka).consumer({ groupId: 'balances' })

    await consumer.subscribe({ topics: ['orders'], fromBeginning: true })
    await expect(consumer.run({})).rejects.toThrow('made')

    expect(settings).toMatchObject([{ kafkaJS: { groupId: 'balances', fromBeginning: true, autoCommit: false } }])
  })
})
