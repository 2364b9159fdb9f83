import 'reflect-metadata'
import { createOutbox, createRelay, migrate, type Outbox } from '@malote/outbox-core'
import { createMemoryBroker } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createRelayFunction } from './lambda.ts'
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
