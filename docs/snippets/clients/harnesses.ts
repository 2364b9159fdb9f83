import { drizzleDatabase } from '@malote/outbox-core/drizzle'
import { knexDatabase } from '@malote/outbox-core/knex'
import { kyselyDatabase } from '@malote/outbox-core/kysely'
import { mikroOrmDatabase } from '@malote/outbox-core/mikro-orm'
import { pgDatabase } from '@malote/outbox-core/pg'
import { postgresJsDatabase } from '@malote/outbox-core/postgres-js'
import { prismaDatabase } from '@malote/outbox-core/prisma'
import { typeormDatabase } from '@malote/outbox-core/typeorm'
import type { ClientHarness } from '@malote/outbox-core/testing'
import type { TestDatabase } from '@malote/testing/database'
import { MikroORM } from '@mikro-orm/postgresql'
import { drizzle as drizzleOnPg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleOnPostgresJs } from 'drizzle-orm/postgres-js'
import knex, { type Knex } from 'knex'
import { Kysely, PostgresDialect, sql as kyselySql, type Transaction } from 'kysely'
import type { PoolClient } from 'pg'
import postgres from 'postgres'
import { DataSource, type EntityManager } from 'typeorm'
import { createPrismaClient } from './prisma-client.ts'

export type AnyHarness = ClientHarness & { end(): Promise<unknown> }
type Made<Tx> = Omit<ClientHarness<Tx>, 'read'> & { end(): Promise<unknown> }
const quiet = { onnotice: () => {}, max: 4 }

/** One entry for each client, and each of its drivers. Nothing here but what an application would write. */
export const clients: Record<string, (database: TestDatabase) => Promise<unknown>> = {
  pg: async (test) => {
    const database = await guardedPool(test)
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
  kysely: async (test) => {
    const db = new Kysely<object>({ dialect: new PostgresDialect({ pool: await guardedPool(test) }) })
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
  'drizzle on pg': async (test) => {
    const pool = await guardedPool(test)
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
  'drizzle on postgres.js': (test) => {
    const sql = postgres(test.url, quiet)
    const db = drizzleOnPostgresJs(sql)
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0]
    return Promise.resolve({
      database: drizzleDatabase(db),
      outside: db,
      nested: (tx, work) => tx.transaction(work),
      end: () => sql.end({ timeout: 5 }),
    } satisfies Made<Tx>)
  },
  'postgres.js': (test) => {
    const sql = postgres(test.url, quiet)
    return Promise.resolve({
      database: postgresJsDatabase(sql),
      outside: sql,
      nested: (tx, work) => tx.savepoint(work),
      end: () => sql.end({ timeout: 5 }),
    } satisfies Made<postgres.TransactionSql>)
  },
  knex: (test) => {
    const db = knex({ client: 'pg', connection: test.url, pool: { min: 0, max: 4 } })
    return Promise.resolve({
      database: knexDatabase(db),
      outside: db,
      survivesLostConnections: true,
      nested: (trx, work) => trx.transaction(work),
      end: () => db.destroy(),
    } satisfies Made<Knex.Transaction>)
  },
  typeorm: async (test) => {
    const source = await new DataSource({ type: 'postgres', url: test.url, poolErrorHandler: () => {} }).initialize()
    return {
      database: typeormDatabase(source),
      outside: source.manager,
      survivesLostConnections: true,
      nested: (manager, work) => manager.transaction(work),
      end: () => source.destroy(),
    } satisfies Made<EntityManager>
  },
  'mikro-orm': async (test) => {
    const orm = await MikroORM.init({ clientUrl: test.url, entities: [], discovery: { warnWhenNoEntities: false } })
    return {
      database: mikroOrmDatabase(orm.em),
      outside: orm.em,
      nested: (em, work) => em.transactional(work),
      end: () => orm.close(),
    } satisfies Made<typeof orm.em>
  },
  prisma: (test) => {
    const prisma = createPrismaClient(test.url)
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

/** As the guide says: pg tells of a connection that is lost while checked out by an event that ends the process if nobody listens. */
const guardedPool = (test: TestDatabase) =>
  Promise.resolve(test.pool({ max: 4 }).on('connect', (client) => client.on('error', () => {})))
