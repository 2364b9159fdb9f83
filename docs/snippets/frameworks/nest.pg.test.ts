import { migrateIdempotency } from '@malote/idempotency'
import { createOutbox, createRelay, type Consumer, migrate, type Outbox } from '@malote/outbox-core'
import { OUTBOX, OutboxModule, RELAY } from '@malote/outbox-core/nest'
import { createMemoryBroker, type MemoryBroker } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { Inject, type INestApplication, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { AppModule, createApp } from './nest.ts'
import { createTypeormApp } from './nest-typeorm.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query(
    'create table orders (id bigint generated always as identity primary key, asset text not null, quantity int not null)',
  )
  const { hostname, port, username, password, pathname } = new URL(database.url)
  await pool.query('create table sales (order_id text not null, quantity int not null)')
  // What a `new Pool()` of an application reads.
  Object.assign(process.env, {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
    DATABASE_URL: database.url,
  })
})
/** Not the messages: a relay is reading them. */
const empty = () => pool.query('truncate orders, sales, malote.idempotency_keys restart identity')
afterAll(() => database.drop())

const apps: readonly [string, () => Promise<INestApplication>][] = [
  ['Express', createApp],
  ['Fastify', () => NestFactory.create(AppModule, new FastifyAdapter(), { rawBody: true, logger: false })],
]

describe.each(apps)('the Nest snippets on %s', (_, create) => {
  let app: INestApplication
  let url: string
  const post = (body: string, headers: Record<string, string> = { 'x-user': 'alice' }) =>
    fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'idempotency-key': 'a-key-of-sixteen-or-more', 'content-type': 'application/json', ...headers },
      body,
    })
  const count = async (table = 'orders') => Number((await pool.query(`select count(*) from ${table}`)).rows[0].count)

  beforeAll(async () => {
    app = await create()
    await app.listen(0, '127.0.0.1')
    url = await app.getUrl()
  })
  beforeEach(empty)
  afterAll(() => app.close())

  it('run a request once, with its message, and replay its response', async () => {
    const order = '{"asset":"PETR4","quantity":100}'
    const [first, retry] = [await post(order), await post(order.replace(':', ' : '))]

    expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true'])
    expect([await first.text(), await retry.text()]).toEqual(['{"id":"1"}', '{"id":"1"}'])
    const broker = app.get<MemoryBroker>('BROKER', { strict: false })
    await broker.received(1)
    await broker.settled()
    expect([await count(), broker.accepted.length]).toEqual([1, 1])
    expect((await pool.query('select * from sales')).rows).toEqual([{ order_id: '1', quantity: 100 }])
  })

  it('tell two bodies apart by their bytes', async () => {
    await post('{"asset":"PETR4","quantity":100}')

    expect((await post('{"asset":"PETR4","quantity":101}')).status).toBe(422)
  })

  it('ask the guard first, on a retry too', async () => {
    const order = '{"asset":"PETR4","quantity":100}'
    expect((await post(order, {})).status).toBe(403)
    await post(order)

    expect([(await post(order, {})).status, await count()]).toEqual([403, 1])
  })

  it('store what a service throws, and keep nothing of its effects', async () => {
    const order = '{"asset":"PETR4","quantity":1001}'
    const [first, retry] = [await post(order), await post(order)]

    expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([409, 409, 'true'])
    expect(await first.text()).toBe(await retry.text())
    expect(await count()).toBe(0)
  })

  it('answer what a pipe refuses in the same way again', async () => {
    const order = '{"asset":"PETR4","quantity":"many"}'
    const [first, retry] = [await post(order), await post(order)]

    expect([first.status, retry.status, await first.text()]).toEqual([400, 400, await retry.text()])
  })
})

it('with TypeORM a request, its message and its answer are one commit', async () => {
  await empty()
  await pool.query('truncate malote.messages')
  const app = await createTypeormApp()
  await app.listen(0, '127.0.0.1')
  const url = await app.getUrl()
  const post = (body: string) =>
    fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'idempotency-key': 'a-key-of-sixteen-or-more', 'content-type': 'application/json', 'x-user': 'alice' },
      body,
    })

  const order = '{"asset":"PETR4","quantity":100}'
  const [first, retry] = [await post(order), await post(order)]
  await app.close()

  expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true'])
  expect([await first.text(), await retry.text()]).toEqual(['{"id":"1"}', '{"id":"1"}'])
  const { rows } = await pool.query('select (select count(*)::int from orders) orders, payload from malote.messages')
  expect(rows).toEqual([{ orders: 1, payload: '{"id":"1","quantity":100}' }])
})

const createPool = () => new pg.Pool({ connectionString: database.url })

/** A module as applications have it: it ends the pool when the application has shut down. */
function poolModule(): new () => object {
  @Module({ providers: [{ provide: pg.Pool, useFactory: createPool }], exports: [pg.Pool] })
  class PoolModule {
    readonly #pool: pg.Pool
    constructor(pool: pg.Pool) {
      this.#pool = pool
    }
    onApplicationShutdown(): Promise<void> {
      return this.#pool.end()
    }
  }
  Inject(pg.Pool)(PoolModule, undefined, 0)
  return PoolModule as never
}

it('consumers and relay stop while the pool still works, and every lane is free afterwards', async () => {
  const [broker, events]: [MemoryBroker, string[]] = [createMemoryBroker(), []]
  const note = ({ type }: { readonly type: string }) => void events.push(type)
  const PoolModule = poolModule()
  @Module({
    imports: [
      PoolModule,
      OutboxModule.forRootAsync({
        imports: [PoolModule],
        inject: [pg.Pool],
        useFactory: (db: pg.Pool) => ({ relay: createRelay({ pool: db, publisher: broker, onEvent: note }) }),
      }),
      OutboxModule.forConsumers({
        useFactory: () => broker.createConsumer({ topic: 'orders', handler: async () => {}, onEvent: note }),
      }),
    ],
  })
  class AppModule {}
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false })
  await add(app.get<Outbox>(OUTBOX))
  await broker.received(1)
  await broker.settled()
  events.length = 0

  await app.close()

  expect(events.filter((type) => /error|lost|failed|stopped/.test(type))).toEqual(['consumer.stopped', 'relay.stopped'])
  expect((await pool.query('select owner from malote.lanes where owner is not null')).rows).toEqual([])
})

async function add(outbox: Outbox): Promise<void> {
  const tx = await pool.connect()
  await tx.query('begin')
  await outbox.add(tx, { topic: 'orders', type: 'order.accepted', payload: {} })
  await tx.query('commit')
  tx.release()
}

it('each call of forConsumers makes consumers of its own, several at a time too', async () => {
  const broker = createMemoryBroker()
  const seen: string[] = []
  const consumerOf = (group: string): Consumer =>
    broker.createConsumer({ topic: 'orders', group, handler: async () => void seen.push(group) })
  const of = (...groups: readonly string[]) => OutboxModule.forConsumers({ useFactory: () => groups.map(consumerOf) })
  const relay = createRelay({ pool, publisher: broker })
  @Module({ imports: [OutboxModule.forRoot({ relay }), of('books'), of('mails', 'audit')] })
  class AppModule {}
  // By this algorithm Nest takes modules that look the same for one.
  const options = { logger: false, moduleIdGeneratorAlgorithm: 'deep-hash' } as const
  const app = await NestFactory.createApplicationContext(AppModule, options)

  await add(app.get<Outbox>(OUTBOX))
  await broker.received(1)
  await broker.settled()
  await app.close()

  expect(seen.sort()).toEqual(['audit', 'books', 'mails'])
})

it('an application without a relay adds by the outbox it was given', async () => {
  const outbox = createOutbox({ schema: 'elsewhere' })
  @Module({ imports: [OutboxModule.forRoot({ outbox })] })
  class AppModule {}
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false })

  expect([app.get(OUTBOX) === outbox, app.get(RELAY)]).toEqual([true, null])
  await app.close()
})
