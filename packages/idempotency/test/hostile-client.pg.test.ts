import { runConformanceCase } from '@malote/outbox-core/testing'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createIdempotency, type Idempotency } from '../src/index.ts'
import { hostileClientConformance } from '../src/testing/index.ts'
import { countOrders, createOrders } from './callers.ts'
import { dropInPoints } from './drop-in-points.ts'
import { entryPoints, type Mounted } from './entry-points.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
afterAll(() => database.drop())

type MountAny = (idempotency: Idempotency<pg.Pool, object>) => Promise<Mounted>

const insert = async (tx: pg.ClientBase) => {
  const { rows } = await tx.query<{ id: string }>('insert into orders default values returning id')
  return { status: 201, body: { id: rows[0]?.id } }
}
const mounts: Readonly<Record<string, MountAny>> = {
  ...Object.fromEntries(
    Object.entries(entryPoints).map(([name, mount]): [string, MountAny] => [
      name,
      (idempotency) => mount(idempotency.atomic({ operation: 'createOrder' }, ({ tx }) => insert(tx))),
    ]),
  ),
  'Fastify, in batches': (idempotency) => {
    const operation = idempotency.batch({ operation: 'createOrder' }, async ({ requests }) => {
      const answers = []
      for (const _ of requests) answers.push(await insert(idempotency.transaction()))
      return answers
    })
    return (entryPoints['Fastify'] as (typeof entryPoints)[string])(operation)
  },
  ...Object.fromEntries(
    Object.entries(dropInPoints).map(([name, mount]): [string, MountAny] => [
      name,
      (idempotency) => mount(idempotency, () => insert(idempotency.transaction())),
    ]),
  ),
}

describe.each(Object.entries(mounts))('hostile clients of %s', (_, mount) => {
  let server: Mounted

  beforeAll(async () => {
    const idempotency = createIdempotency<pg.Pool, object>({
      db: pool,
      tenant: () => 'acme',
      subject: () => 'alice',
      pepper: 'a pepper of at least 16 bytes',
    })
    server = await mount(idempotency)
  })
  afterAll(() => server.close())

  it.each(hostileClientConformance)('$name', async (one) => {
    const result = await runConformanceCase(one, { url: server.url, effects: () => countOrders(pool) })
    if (result.status === 'failed') throw result.error
    expect(result.status).toBe('passed')
  })
})
