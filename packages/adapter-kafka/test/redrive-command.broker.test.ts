import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { deadLetterHeader, type DeadLetterNote } from '@malote/outbox-core'
import { maloteIn } from '@malote/testing/malote-command'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connectKafka, type KafkaBroker } from './kafka-broker.ts'

const brokers = inject('kafkaBrokers')

/** Where this package and kafkajs are installed. */
const malote = maloteIn(fileURLToPath(new URL('..', import.meta.url)))

describe.skipIf(brokers === '')('malote redrive', () => {
  let broker: KafkaBroker

  beforeAll(async () => {
    broker = await connectKafka(brokers.split(','))
  })
  afterAll(() => broker.close())

  it('brings what its terms name back to the topic that each letter names, and leaves the rest with its note', async () => {
    const [topic, dead] = [await broker.topic(), await broker.topic({ partitions: 1 })]
    const noteOf = (reason: DeadLetterNote['reason']): string =>
      JSON.stringify({ reason, attempts: 5, error: 'E', source: topic, topic, at: 'now' } satisfies DeadLetterNote)
    const letters = (['MAX_ATTEMPTS', 'PERMANENT', 'MAX_ATTEMPTS'] as const).map((reason, index) => ({
      key: 'k',
      value: `${reason} ${String(index)}`,
      headers: { ce_id: randomUUID(), [deadLetterHeader]: noteOf(reason) },
    }))
    const producer = broker.kafka.producer()
    await producer.connect()
    await producer.send({ topic: dead, messages: letters })
    await producer.disconnect()
    const words = ['redrive', '--broker', 'kafka', '--url', brokers, '--from', dead, '--where', 'reason=MAX_ATTEMPTS']

    expect(await malote(...words, '--yes')).toMatchObject({ code: 0, stdout: 'brought back 2, left 1\n' })

    const back = await broker.read(topic)
    expect(back.map(({ value }) => value)).toEqual(['MAX_ATTEMPTS 0', 'MAX_ATTEMPTS 2'])
    expect(back.map(({ headers }) => headers[deadLetterHeader])).toEqual([undefined, undefined])
    const [left] = (await broker.read(dead)).slice(letters.length)
    expect([left?.value, String(left?.headers[deadLetterHeader])]).toEqual(['PERMANENT 1', noteOf('PERMANENT')])
  })
})
