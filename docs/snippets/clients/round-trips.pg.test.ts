import { createIdempotency, createInbox, migrateIdempotency } from '@malote/idempotency'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type AnyHarness, clients } from './harnesses.ts'
import { tapWire, type Wire } from './wire.ts'

let database: TestDatabase
let wire: Wire

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrateIdempotency(database.pool())
  await database.pool().query('create table effects (client text not null)')
  wire = await tapWire(database)
})
afterAll(async () => {
  await wire.close()
  await database.drop()
})

const effect = 'insert into effects (client) values ($1)'
const aPool = async (test: TestDatabase) => {
  const pool = test.pool({ max: 4 })
  return {
    database: pool,
    queryable: (tx: unknown) => tx as pg.ClientBase,
    bare: async () => {
      const client = await pool.connect()
      await client.query('begin')
      await client.query(effect, ['bare'])
      await client.query('commit')
      client.release()
    },
    end: () => Promise.resolve(),
  }
}
const aClient = (name: string) => async (test: TestDatabase) => {
  const harness = (await clients[name]?.(test)) as AnyHarness
  const client = harness.database
  const queryable = (tx: unknown) => client.queryable(tx as never)
  const bare = () => client.begin('read committed', async (tx) => void (await queryable(tx).query(effect, ['bare'])))
  return { database: client, queryable, bare, end: () => harness.end() }
}
type Tapped = Awaited<ReturnType<ReturnType<typeof aClient>>>
const tapped: Record<string, (test: TestDatabase) => Promise<Tapped>> = {
  'a pg pool': aPool as never,
  ...Object.fromEntries(Object.keys(clients).map((name) => [name, aClient(name)])),
}

/**
 * Beside the business's own: a pool shares them with BEGIN and COMMIT, and asks for a record that it has seen by one statement; of other clients the claim and the response have one each. Of
 * what is undone there the transaction is opened twice, after a look whether it is still the one that claimed.
 */
const shared = { first: 0, undone: 1, replay: -2, inbox: 0 }
const own = { first: 2, replay: 0, inbox: 2 }

describe.each(Object.entries(tapped))('on %s', (name, create) => {
  it('Malote adds as many round trips to the bare transaction as the guide says', async () => {
    const { database: db, queryable, bare, end } = await create(wire.database)
    const idempotency = createIdempotency({
      db,
      tenant: () => name,
      subject: () => 'somebody',
      pepper: 'a pepper of thirty-two characters',
    })
    let calls = 0
    const depositThat = (status: number) =>
      idempotency.atomic({ operation: 'deposit' }, async ({ tx }) => {
        calls++
        await queryable(tx).query(effect, [`${name} ${String(status)}`])
        return { status, body: { calls } }
      })
    const deposits: Record<number, ReturnType<typeof depositThat>> = { 201: depositThat(201), 422: depositThat(422) }
    const answers: string[] = []
    const request = (key: string, status: number) => async () => {
      const headers: Record<string, string[]> = { 'idempotency-key': [key] }
      const answer = await (deposits[status] as ReturnType<typeof depositThat>)(
        { method: 'POST', url: '/deposits', headers: (header) => headers[header] ?? [], body: Buffer.alloc(0) },
        {},
      )
      answers.push(`${String(answer.status)} ${Buffer.from(answer.body ?? []).toString()}`)
    }
    const message = () =>
      createInbox().transact(db, { consumer: 'effects', messageId: randomUUID() }, async (tx) => {
        await queryable(tx).query(effect, [name])
      })
    // The first of each also connects, learns types and gets a number for the consumer.
    for (const first of [bare, request(randomUUID(), 201), request(randomUUID(), 422), message]) await first()
    const [accepted, refused] = [randomUUID(), randomUUID()]
    const trips = {
      bare: await wire.countTrips(bare),
      first: await wire.countTrips(request(accepted, 201)),
      undone: await wire.countTrips(request(refused, 422)),
      replay: await wire.countTrips(request(accepted, 201)),
      inbox: await wire.countTrips(message),
    }
    await request(refused, 422)()
    await end()

    const { bare: base, ...ours } = trips
    const added = Object.fromEntries(Object.entries(ours).map(([what, count]) => [what, count - base]))
    expect(added).toEqual(name.startsWith('pg') || name === 'a pg pool' ? shared : { ...own, undone: base + 3 })
    expect(answers.slice(2)).toEqual(['201 {"calls":3}', '422 {"calls":4}', '201 {"calls":3}', '422 {"calls":4}'])
    const kept = await database.pool().query('select 1 from effects where client = $1', [`${name} 422`])
    expect(kept.rowCount).toBe(0)
  })
})
