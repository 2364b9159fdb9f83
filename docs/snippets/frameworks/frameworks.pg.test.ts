import 'reflect-metadata'
import { SQSClient } from '@aws-sdk/client-sqs'
import type { SqsLambdaRecord } from '@malote/adapter-sqs'
import { migrateIdempotency } from '@malote/idempotency'
import { createOutbox, createRelay, migrate, type Outbox } from '@malote/outbox-core'
import { createMemoryBroker } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createRelayFunction } from './lambda.ts'
import { createSalesFunction } from './lambda-consumer.ts'
import { OUTBOX, OutboxModule } from './nest-outbox.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
})
afterAll(() => database.drop())

async function add(outbox: Outbox): Promise<void> {
  const tx = await pool.connect()
  await tx.query('begin')
  await outbox.add(tx, { topic: 'orders', type: 'order.accepted', payload: {} })
  await tx.query('commit')
  tx.release()
}

it('the scheduled function publishes what is due, each time it runs', async () => {
  const run = createRelayFunction(pool, createMemoryBroker())
  await add(createOutbox())

  expect([await run(), await run()].map(({ published }) => published)).toEqual([1, 0])
})

it('the function that consumes books a sale once, and reports what must come again', async () => {
  await migrateIdempotency(pool)
  await pool.query('create table sales (order_id text, cents int)')
  const sqs = new SQSClient({ region: 'us-east-1', endpoint: 'http://127.0.0.1:1' }) // Nothing dies here.
  const sell = createSalesFunction(pool, sqs, 'http://127.0.0.1:1/dead-orders')
  const good = aRecord('0199d6a6-0000-7000-8000-000000000001', { orderId: 'order-1', cents: 500 })
  const unfit = aRecord('0199d6a6-0000-7000-8000-000000000002', { orderId: 'order-2' })

  await sell({ Records: [good] })
  const { batchItemFailures } = await sell({ Records: [good, unfit] })

  expect(batchItemFailures).toEqual([{ itemIdentifier: unfit.messageId }])
  expect((await pool.query('select * from sales')).rows).toEqual([{ order_id: 'order-1', cents: 500 }])
})

/** As AWS hands over what the publisher sent. */
function aRecord(id: string, payload: object): SqsLambdaRecord {
  const text = (stringValue: string): { stringValue: string; dataType: string } => ({ stringValue, dataType: 'String' })
  return {
    messageId: `sqs-${id}`,
    receiptHandle: 'receipt',
    body: JSON.stringify(payload),
    attributes: { ApproximateReceiveCount: '1', SentTimestamp: '1764000000000' },
    messageAttributes: {
      'ce-specversion': text('1.0'),
      'ce-id': text(id),
      'ce-type': text('order.accepted'),
      'ce-source': text('/shop'),
      'ce-time': text('2026-11-28T12:00:00.000Z'),
      'content-type': text('application/json'),
    },
    eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:orders',
  }
}

it('the Nest module starts relay and consumer with the application, gives the outbox, and stops both', async () => {
  const broker = createMemoryBroker()
  const seen: string[] = []
  const ended: string[] = []
  const relay = createRelay({
    pool,
    publisher: broker,
    onEvent: ({ type }) => type === 'relay.stopped' && ended.push(type),
  })
  const consumer = broker.createConsumer({
    topic: 'orders',
    handler: ({ message }) => Promise.resolve(void seen.push(message.type)),
    onEvent: ({ type }) => type === 'consumer.stopped' && ended.push(type),
  })

  @Module({ imports: [OutboxModule.forRoot(relay, [consumer])] })
  class AppModule {}

  const app = await NestFactory.createApplicationContext(AppModule, { logger: false })
  await add(app.get<Outbox>(OUTBOX))
  await broker.received(1)
  await broker.settled()
  await app.close()

  expect(seen).toEqual(['order.accepted'])
  expect(ended).toEqual(['consumer.stopped', 'relay.stopped'])
})
