import { idempotentFetch, migrateIdempotency } from '@malote/idempotency'
import { migrate } from '@malote/outbox-core'
import { aDelivery } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { MikroORM } from '@mikro-orm/postgresql'
import { drizzle } from 'drizzle-orm/node-postgres'
import knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import postgres from 'postgres'
import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { accept as acceptOnDrizzle } from './drizzle.ts'
import { acceptOrders, createSalesHandler } from './drizzle-service.ts'
import { accept as acceptOnKnex } from './knex.ts'
import { accept as acceptOnKysely } from './kysely.ts'
import { accept as acceptOnMikroOrm } from './mikro-orm.ts'
import { accept as acceptOnPg } from './pg.ts'
import { accept as acceptOnPostgresJs } from './postgres-js.ts'
import { createPrismaClient } from './prisma-client.ts'
import { accept as acceptOnPrisma } from './prisma.ts'
import { accept as acceptOnTypeorm } from './typeorm.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrate(database.pool())
  await migrateIdempotency(database.pool())
  await database.pool().query('create table orders (id text primary key, cents integer not null)')
  await database.pool().query('create table sales (order_id text primary key, cents integer not null)')
})
afterAll(() => database.drop())

type Accept = (id: string, cents: number) => Promise<void>

const examples: Record<string, (use: (accept: Accept) => Promise<void>) => Promise<unknown>> = {
  pg: (use) => use((id, cents) => acceptOnPg(database.pool(), id, cents)),
  kysely: (use) => {
    const db = new Kysely<never>({ dialect: new PostgresDialect({ pool: database.pool() }) })
    return use((id, cents) => acceptOnKysely(db as never, id, cents))
  },
  drizzle: (use) => use((id, cents) => acceptOnDrizzle(drizzle(database.pool()), id, cents)),
  'postgres-js': async (use) => {
    const sql = postgres(database.url, { max: 1 })
    await use((id, cents) => acceptOnPostgresJs(sql, id, cents))
    await sql.end()
  },
  knex: async (use) => {
    const db = knex({ client: 'pg', connection: database.url })
    await use((id, cents) => acceptOnKnex(db, id, cents))
    await db.destroy()
  },
  typeorm: async (use) => {
    const source = await new DataSource({ type: 'postgres', url: database.url }).initialize()
    await use((id, cents) => acceptOnTypeorm(source, id, cents))
    await source.destroy()
  },
  'mikro-orm': async (use) => {
    const orm = await MikroORM.init({ clientUrl: database.url, entities: [], discovery: { warnWhenNoEntities: false } })
    await use((id, cents) => acceptOnMikroOrm(orm, id, cents))
    await orm.close()
  },
  prisma: async (use) => {
    const prisma = createPrismaClient(database.url)
    await use((id, cents) => acceptOnPrisma(prisma, id, cents))
    await prisma.$disconnect()
  },
}

describe('the example of each client', () => {
  it.each(Object.keys(examples))('%s: the order and its message commit together, or neither does', async (client) => {
    const orders = async () => (await database.pool().query('select id from orders where id = $1', [client])).rowCount
    const messages = async () =>
      (await database.pool().query('select payload from malote.messages where ordering_key = $1', [client])).rows

    await examples[client]?.(async (accept) => {
      await accept(client, 100)
      // The same order again: its row is refused, so its message must go too.
      await expect(accept(client, 200)).rejects.toThrow(/orders/)
    })

    expect(await orders()).toBe(1)
    expect((await messages()).map(({ payload }) => JSON.parse(payload))).toEqual([{ id: client, cents: 100 }])
  })
})

describe('the service on Drizzle', () => {
  const rowsOf = async (sql: string): Promise<unknown> => (await database.pool().query(sql)).rows

  it('accepts an order once, and its answer is sent again', async () => {
    const post = idempotentFetch(acceptOrders(drizzle(database.pool()), 'a pepper of at least 16 bytes'))
    const headers = {
      'idempotency-key': 'a-key-of-sixteen-or-more',
      'content-type': 'application/json',
      'x-user': 'alice',
    }
    const body = '{"id":"order-1","cents":100}'
    const send = () => post(new Request('http://127.0.0.1/orders', { method: 'POST', headers, body }))

    const [first, retry] = [await send(), await send()]

    expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true'])
    expect(await rowsOf(`select cents from orders where id = 'order-1'`)).toEqual([{ cents: 100 }])
    const messages = `select payload from malote.messages where ordering_key = 'order-1'`
    expect(await rowsOf(messages)).toEqual([{ payload: '{"id":"order-1","cents":100}' }])
  })

  it('refuses an order that does not fit, and stores the refusal', async () => {
    const post = idempotentFetch(acceptOrders(drizzle(database.pool()), 'a pepper of at least 16 bytes'))
    const headers = {
      'idempotency-key': 'another-key-of-sixteen',
      'content-type': 'application/json',
      'x-user': 'alice',
    }
    const body = '{"id":"order-2","cents":-1}'
    const send = () => post(new Request('http://127.0.0.1/orders', { method: 'POST', headers, body }))

    const [first, retry] = [await send(), await send()]

    expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([400, 400, 'true'])
    expect(await rowsOf(`select 1 from orders where id = 'order-2'`)).toEqual([])
  })

  it('books a sale once, however often its message arrives', async () => {
    const handler = createSalesHandler(drizzle(database.pool()))
    const delivery = aDelivery({ type: 'order.accepted', payload: { id: 'order-1', cents: 100 } })

    await handler(delivery)
    await handler(delivery)

    expect(await rowsOf('select * from sales')).toEqual([{ order_id: 'order-1', cents: 100 }])
  })
})
