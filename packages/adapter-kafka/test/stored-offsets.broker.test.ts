import { eventually } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  consumerDefaults,
  createKafkaConsumer,
  type KafkaConsumerOptions,
  type KafkaDelivery,
  producerDefaults,
} from '../src/index.ts'
import { aMessage, connectKafka, type KafkaBroker, kafkaClient } from './kafka-broker.ts'
import { createSockets, type Sockets } from './sockets.ts'

const brokers = inject('kafkaBrokers')
const never = new AbortController().signal

describe.skipIf(brokers === '' || inject('postgresUrl') === '')('offsets stored with the effect', () => {
  let broker: KafkaBroker
  let database: TestDatabase
  let pool: ReturnType<TestDatabase['pool']>

  beforeAll(async () => {
    broker = await connectKafka(brokers.split(','))
    database = await createTestDatabase(inject('postgresUrl'))
    pool = database.pool()
    await pool.query(`
      create table positions (topic text, partition integer, next_offset bigint not null, primary key (topic, partition));
      create table effects (id uuid not null)`)
  })
  afterAll(async () => {
    await broker.close()
    await database.drop()
  })

  /** The effect and its offset in one transaction; a record whose offset is stored already has no effect. */
  async function apply({ message, topic, partition, offset }: KafkaDelivery): Promise<void> {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const moved = await client.query(
        `insert into positions values ($1, $2, $3::bigint + 1)
         on conflict (topic, partition) do update set next_offset = excluded.next_offset
         where positions.next_offset <= $3::bigint`,
        [topic, partition, offset],
      )
      if (moved.rowCount === 1) await client.query('insert into effects values ($1)', [message.id])
      await client.query('commit')
    } finally {
      client.release()
    }
  }

  const load: NonNullable<KafkaConsumerOptions['offsets']>['load'] = async ({ topic, partition }) => {
    const { rows } = await pool.query<{ next_offset: string }>(
      'select next_offset from positions where topic = $1 and partition = $2',
      [topic, partition],
    )
    return rows[0]?.next_offset ?? null
  }

  const effectsOf = async (ids: readonly string[]): Promise<string[]> =>
    (await pool.query<{ id: string }>('select id from effects where id = any($1)', [ids])).rows.map((row) => row.id)

  function aConsumer(topic: string, groupId: string, handler: KafkaConsumerOptions['handler'], sockets?: Sockets) {
    const kafka = kafkaClient(brokers.split(','), sockets)
    return createKafkaConsumer({
      consumer: kafka.consumer({ ...consumerDefaults, groupId, sessionTimeout: 1_500, heartbeatInterval: 300 }),
      topics: [topic],
      producer: () => kafka.producer(producerDefaults),
      handler,
      offsets: { load },
    })
  }

  it('a crash after the effect and before the commit to Kafka has no effect twice, without an inbox', async () => {
    const [topic, groupId] = [await broker.topic({ partitions: 2 }), randomUUID()]
    const messages = Array.from({ length: 60 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n)}` }))
    const ids = messages.map((message) => message.id)
    const sockets = createSockets()
    const redelivered: string[] = []
    await broker.publisher().publish(messages, never)

    const crashing = aConsumer(
      topic,
      groupId,
      async (delivery) => {
        await apply(delivery)
        if ((await effectsOf(ids)).length >= 20) sockets.sever()
      },
      sockets,
    )
    await crashing.start()
    await eventually(async () => expect((await effectsOf(ids)).length).toBeGreaterThanOrEqual(20))
    await crashing.stop({ graceMs: 0 })
    const before = await effectsOf(ids)
    const next = aConsumer(topic, groupId, async (delivery) => {
      redelivered.push(delivery.message.id)
      await apply(delivery)
    })
    await next.start()

    await eventually(async () => expect((await effectsOf(ids)).sort()).toEqual(ids.toSorted()))
    await next.stop()
    expect(redelivered.filter((id) => before.includes(id))).toEqual([])
  })

  it('an offset stored before the one Kafka knows is gone back to, as after a restore of the database', async () => {
    const [topic, groupId] = [await broker.topic({ partitions: 1 }), randomUUID()]
    const messages = Array.from({ length: 10 }, () => aMessage({ topic }))
    const ids = messages.map((message) => message.id)
    await broker.publisher().publish(messages, never)
    const first = aConsumer(topic, groupId, apply)
    await first.start()
    await eventually(async () => expect(await effectsOf(ids)).toHaveLength(10))
    await first.stop()

    await pool.query('update positions set next_offset = 4 where topic = $1', [topic])
    await pool.query('delete from effects where id = any($1)', [ids.slice(4)])
    const second = aConsumer(topic, groupId, apply)
    await second.start()

    await eventually(async () => expect(await effectsOf(ids)).toEqual(ids))
    await second.stop()
  })

  it('records of a partition are handled one after the other, whatever their key', async () => {
    const topic = await broker.topic({ partitions: 1 })
    const messages = Array.from({ length: 20 }, () => aMessage({ topic }))
    const order: string[] = []
    let running = 0
    let mostRunning = 0
    await broker.publisher().publish(messages, never)

    const consumer = aConsumer(topic, randomUUID(), async (delivery) => {
      mostRunning = Math.max(mostRunning, ++running)
      await apply(delivery)
      order.push(delivery.message.id)
      running--
    })
    await consumer.start()

    await eventually(() => expect(order).toEqual(messages.map((message) => message.id)))
    expect(mostRunning).toBe(1)
    await consumer.stop()
  })
})
