import { createOutbox, type NewMessage } from '@malote/outbox-core'
import { drizzleTransaction } from '@malote/outbox-core/drizzle'
import { postgresJsTransaction } from '@malote/outbox-core/postgres-js'
import { prismaTransaction } from '@malote/outbox-core/prisma'
import { drizzle } from 'drizzle-orm/node-postgres'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import { expect, it } from 'vitest'
import { createPrismaClient } from './prisma-client.ts'

const outbox = createOutbox()
const message: NewMessage = { topic: 'orders', type: 'order.accepted', payload: {} }
const url = 'postgres://nobody@127.0.0.1:1/nowhere'
const pool = new pg.Pool({ connectionString: url })

// Each line below is refused by the compiler and, for those who do not use it, at run time. Nothing connects.
it('what is not a transaction is refused in words, by the compiler too', async () => {
  const refused = { code: 'NOT_A_TRANSACTION' }

  // @ts-expect-error a pool
  await expect(outbox.add(pool, message)).rejects.toMatchObject(refused)
  // @ts-expect-error a plain Kysely
  await expect(outbox.add(new Kysely({ dialect: new PostgresDialect({ pool }) }), message)).rejects.toMatchObject(
    refused,
  )
  // @ts-expect-error a plain PrismaClient
  await expect(outbox.add(createPrismaClient(url), message)).rejects.toMatchObject(refused)
  // @ts-expect-error a pool
  await expect(outbox.addAll(pool, [message])).rejects.toMatchObject(refused)
  // @ts-expect-error a plain Kysely
  await expect(outbox.addAll(new Kysely({ dialect: new PostgresDialect({ pool }) }), [message])).rejects.toMatchObject(
    refused,
  )
  // @ts-expect-error a plain PrismaClient
  await expect(outbox.addAll(createPrismaClient(url), [message])).rejects.toMatchObject(refused)
  // @ts-expect-error a plain Drizzle
  expect(() => drizzleTransaction(drizzle(pool))).toThrow(/use db\.transaction/)
  // @ts-expect-error a plain postgres.js
  expect(() => postgresJsTransaction(postgres(url))).toThrow(/use sql\.begin/)
  // @ts-expect-error a plain PrismaClient
  expect(() => prismaTransaction(createPrismaClient(url))).toThrow(/use prisma\.\$transaction/)
})

it('a Queryable that answers without { rows } is refused in words', async () => {
  const bare = { query: () => Promise.resolve([{ id: '1' }]) }

  // @ts-expect-error rows, not { rows }
  await expect(outbox.add(bare, message)).rejects.toThrow(/resolved with an array instead of \{ rows \}/)
  // @ts-expect-error rows, not { rows }
  await expect(outbox.addAll(bare, [message])).rejects.toThrow(/resolved with an array instead of \{ rows \}/)
})
