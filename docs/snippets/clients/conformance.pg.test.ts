import { drizzleDatabase } from '@malote/outbox-core/drizzle'
import { knexDatabase } from '@malote/outbox-core/knex'
import { kyselyDatabase } from '@malote/outbox-core/kysely'
import { mikroOrmDatabase } from '@malote/outbox-core/mikro-orm'
import { pgDatabase } from '@malote/outbox-core/pg'
import { postgresJsDatabase } from '@malote/outbox-core/postgres-js'
import { prismaDatabase } from '@malote/outbox-core/prisma'
import { typeormDatabase } from '@malote/outbox-core/typeorm'
import { migrate } from '@malote/outbox-core'
import {
  clientConformance,
  type ClientHarness,
  runConformanceCase,
  splitConformance,
} from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { MikroORM } from '@mikro-orm/postgresql'
import { drizzle as drizzleOnPg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleOnPostgresJs } from 'drizzle-orm/postgres-js'
import knex, { type Knex } from 'knex'
import { Kysely, PostgresDialect, sql as kyselySql, type Transaction } from 'kysely'
import type { PoolClient } from 'pg'
import postgres from 'postgres'
import { DataSource, type EntityManager } from 'typeorm'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createPrismaClient } from './prisma-client.ts'

type AnyHarness = ClientHarness & { end(): Promise<unknown> }
type Made<Tx> = Omit<ClientHarness<Tx>, 'read'> & { end(): Promise<unknown> }
const quiet = { onnotice: () => {}, max: 4 }

/** One entry for each client, and each of its drivers. Nothing here but what an application would write. */
const clients: Record<string, (url: string) => Promise<unknown>> = {
  pg: async (url) => {
    const database = await createTestPool(url)
    return {
      database: pgDatabase(database),
      outside: database,
      survivesLostConnections: true,
      nested: async (tx, work) => {
        await tx.query('savepoint nested')
        await work(tx).catch(async (error: unknown) => {
          await tx.query('rollback to savepoint nested')
          throw error
        })
      },
      end: () => database.end(),
    } satisfies Made<PoolClient>
  },
  kysely: async (url) => {
    const db = new Kysely<object>({ dialect: new PostgresDialect({ pool: await createTestPool(url) }) })
    return {
      database: kyselyDatabase(db),
      outside: db,
      survivesLostConnections: true,
      nested: async (trx, work) => {
        // A plain Kysely transaction has no savepoints of its own.
        await kyselySql`savepoint nested`.execute(trx)
        await work(trx).catch(async (error: unknown) => {
          await kyselySql`rollback to savepoint nested`.execute(trx)
          throw error
        })
      },
      end: () => db.destroy(),
    } satisfies Made<Transaction<object>>
  },
  'drizzle on pg': async (url) => {
    const pool = await createTestPool(url)
    const db = drizzleOnPg(pool)
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0]
    return {
      database: drizzleDatabase(db),
      outside: db,
      survivesLostConnections: true,
      nested: (tx, work) => tx.transaction(work),
      end: () => pool.end(),
    } satisfies Made<Tx>
  },
  'drizzle on postgres.js': (url) => {
    const sql = postgres(url, quiet)
    const db = drizzleOnPostgresJs(sql)
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0]
    return Promise.resolve({
      database: drizzleDatabase(db),
      outside: db,
      nested: (tx, work) => tx.transaction(work),
      end: () => sql.end({ timeout: 5 }),
    } satisfies Made<Tx>)
  },
  'postgres.js': (url) => {
    const sql = postgres(url, quiet)
    return Promise.resolve({
      database: postgresJsDatabase(sql),
      outside: sql,
      nested: (tx, work) => tx.savepoint(work),
      end: () => sql.end({ timeout: 5 }),
    } satisfies Made<postgres.TransactionSql>)
  },
  knex: (url) => {
    const db = knex({ client: 'pg', connection: url, pool: { min: 0, max: 4 } })
    return Promise.resolve({
      database: knexDatabase(db),
      outside: db,
      survivesLostConnections: true,
      nested: (trx, work) => trx.transaction(work),
      end: () => db.destroy(),
    } satisfies Made<Knex.Transaction>)
  },
  typeorm: async (url) => {
    const source = await new DataSource({ type: 'postgres', url, poolErrorHandler: () => {} }).initialize()
    return {
      database: typeormDatabase(source),
      outside: source.manager,
      survivesLostConnections: true,
      nested: (manager, work) => manager.transaction(work),
      end: () => source.destroy(),
    } satisfies Made<EntityManager>
  },
  'mikro-orm': async (url) => {
    const orm = await MikroORM.init({ clientUrl: url, entities: [], discovery: { warnWhenNoEntities: false } })
    return {
      database: mikroOrmDatabase(orm.em),
      outside: orm.em,
      nested: (em, work) => em.transactional(work),
      end: () => orm.close(),
    } satisfies Made<typeof orm.em>
  },
  prisma: (url) => {
    const prisma = createPrismaClient(url)
    type Tx = Parameters<Parameters<typeof prisma.$transaction>[0]>[0]
    return Promise.resolve({
      database: prismaDatabase(prisma),
      outside: prisma,
      survivesLostConnections: true,
      nested: (tx, work) => tx.$transaction(work),
      end: () => prisma.$disconnect(),
    } satisfies Made<Tx>)
  },
}

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrate(database.pool())
})
afterAll(() => database.drop())

/** As the guides say: pg tells of a connection that is lost while checked out by an event that ends the process if nobody listens. */
const createTestPool = (_url: string) =>
  Promise.resolve(database.pool({ max: 4 }).on('connect', (client) => client.on('error', () => {})))

const lost = 'throws outside of any promise when a connection is lost in a transaction'
const absences: Record<string, { survivesLostConnections: string }> = {
  'postgres.js': { survivesLostConnections: `postgres.js 3.4 ${lost}` },
  'drizzle on postgres.js': { survivesLostConnections: `postgres.js 3.4 ${lost}` },
  'mikro-orm': { survivesLostConnections: `MikroORM 7 ${lost}` },
}

describe.each(Object.keys(clients))('client conformance of %s', (name) => {
  let harness: AnyHarness

  beforeAll(async () => {
    const made = (await clients[name]?.(database.url)) as AnyHarness
    const pool = database.pool()
    harness = { ...made, read: async (text, values) => (await pool.query(text, values)).rows }
  })
  afterAll(() => harness.end())

  const { applicable, notRun } = splitConformance(clientConformance, absences[name])

  it.each(notRun)('$name: not run, $reason', ({ reason }) => expect(reason).toContain(lost))

  it.each(applicable)('$name', async (one) => {
    const result = await runConformanceCase(one, harness)
    if (result.status === 'failed') throw result.error
  })
})
