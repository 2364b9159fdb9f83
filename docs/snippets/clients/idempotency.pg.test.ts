import {
  createIdempotency,
  createInbox,
  type HandlerResponse,
  idempotentFetch,
  type IdempotentOperation,
  migrateIdempotency,
} from '@malote/idempotency'
import { createOutbox, migrate } from '@malote/outbox-core'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type AnyHarness, clients } from './harnesses.ts'

let database: TestDatabase
const outbox = createOutbox()
const inbox = createInbox()

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrate(database.pool())
  await migrateIdempotency(database.pool())
  await database.pool().query('create table effects (client text not null, what text not null)')
})
afterAll(() => database.drop())

describe.each(Object.keys(clients))('on %s', (name) => {
  let harness: AnyHarness

  beforeAll(async () => {
    harness = (await clients[name]?.(database)) as AnyHarness
  })
  afterAll(() => harness.end())

  const effects = async (what: string): Promise<unknown> =>
    (await database.pool().query('select 1 from effects where client = $1 and what = $2', [name, what])).rowCount

  /** An effect and a message, in the client's transaction. */
  async function take(tx: never, what: string): Promise<void> {
    const sql = harness.database.queryable(tx)
    await sql.query('insert into effects (client, what) values ($1, $2)', [name, what])
    await outbox.add(sql, { topic: name, type: 'effect.taken', payload: { what } })
  }

  const idempotency = () =>
    createIdempotency({
      db: harness.database,
      tenant: () => name,
      subject: () => 'somebody',
      pepper: 'a pepper of thirty-two characters',
    })

  /** Sends the same request again at each call. */
  function sender(operation: IdempotentOperation<Request>, mode: string): () => Promise<Response> {
    const handle = idempotentFetch(operation)
    const headers = {
      'idempotency-key': `the-key-of-${name}-in-${mode}-mode`.replaceAll(' ', '-'),
      'content-type': 'application/json',
    }
    return () => handle(new Request('http://127.0.0.1/deposits', { method: 'POST', headers, body: '{"cents":100}' }))
  }

  it('the inbox applies a message once, and one whose handler failed again', async () => {
    const message = { consumer: name, messageId: `${name}-1` }
    const broken = inbox.transact(harness.database, message, async (tx) => {
      await take(tx, 'inbox')
      throw new Error('not yet')
    })
    await expect(broken).rejects.toThrow('not yet')

    const once = () => inbox.transact(harness.database, message, (tx) => take(tx, 'inbox'))
    expect([await once(), await once()]).toEqual(['processed', 'duplicate'])

    expect(await effects('inbox')).toBe(1)
  })

  it('what loses a conflict is run again from the start, in the inbox and in a request', async () => {
    const runs: string[] = []
    const loseOnce = async (tx: never, what: string): Promise<void> => {
      await take(tx, what)
      runs.push(what)
      if (runs.filter((run) => run === what).length > 1) return
      const conflict = `do $do$ begin raise exception 'lost' using errcode = '40001'; end $do$`
      await harness.database.queryable(tx).query(conflict, [])
    }
    const operation = idempotency().atomic({ operation: 'conflict' }, async ({ tx }): Promise<HandlerResponse> => {
      await loseOnce(tx, 'request in conflict')
      return { status: 201, body: {} }
    })

    const message = { consumer: name, messageId: `${name}-2` }
    const result = await inbox.transact(harness.database, message, (tx) => loseOnce(tx, 'message in conflict'))
    const { status } = await sender(operation, 'conflict')()

    expect([result, status]).toEqual(['processed', 201])
    expect(runs.sort().join()).toBe('message in conflict,message in conflict,request in conflict,request in conflict')
    expect([await effects('message in conflict'), await effects('request in conflict')]).toEqual([1, 1])
  })

  it('a request is executed once, answered again, and undone when its handler throws', async () => {
    let isBroken = true
    const operation = idempotency().atomic({ operation: 'deposit' }, async ({ tx }): Promise<HandlerResponse> => {
      await take(tx, 'http')
      if (isBroken) throw new Error('not yet')
      return { status: 201, body: { client: name } }
    })
    const send = sender(operation, 'atomic')

    await expect(send()).rejects.toThrow('not yet')
    isBroken = false
    const answers = [await send(), await send()]

    expect(answers.map(({ status }) => status)).toEqual([201, 201])
    expect(await Promise.all(answers.map((answer) => answer.json()))).toEqual([{ client: name }, { client: name }])
    expect(answers.map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true'])
    expect(await effects('http')).toBe(1)
  })
  it('a request under a lease is executed once and answered again', async () => {
    let calls = 0
    const operation = idempotency().lease({ operation: 'notify' }, (): Promise<HandlerResponse> => {
      calls++
      return Promise.resolve({ status: 200, body: { calls } })
    })
    const send = sender(operation, 'lease')

    const answers = [await send(), await send()]

    expect(await Promise.all(answers.map((answer) => answer.json()))).toEqual([{ calls: 1 }, { calls: 1 }])
    expect(answers.map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true'])
  })
})
