import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createIdempotency, type Idempotency, type IdempotencyEvent } from '../src/index.ts'
import { countOrders, createOrders } from './callers.ts'
import { dropInPoints, type Outcome } from './drop-in-points.ts'
import type { Mounted } from './entry-points.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
afterAll(() => database.drop())

const stored = async () => Number((await pool.query('select count(*) from malote.idempotency_keys')).rows[0].count)

describe.each(Object.entries(dropInPoints))('a handler behind %s', (_, mount) => {
  let server: Mounted
  let idempotency: Idempotency<pg.Pool, object>
  let calls = 0
  let behave: () => Promise<Outcome>
  const events: IdempotencyEvent[] = []

  const insert = () => idempotency.transaction().query('insert into orders default values')

  const service = async (): Promise<Outcome> => {
    calls++
    return behave()
  }

  beforeAll(async () => {
    idempotency = createIdempotency({
      db: pool,
      tenant: () => 'acme',
      subject: () => 'alice',
      pepper: 'a pepper of at least 16 bytes',
      onEvent: (event) => events.push(event),
    })
    server = await mount(idempotency, service)
  })
  beforeEach(async () => {
    await database.owner.query('truncate orders, malote.idempotency_keys')
    calls = 0
    behave = async () => {
      await insert()
      return { status: 201, body: { calls }, cookie: `session=${String(calls)}` }
    }
  })
  afterAll(() => server.close())

  const post = (key: string, headers: Record<string, string> = {}, body = '{"amount":1}', url = server.url) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key, ...headers },
      body,
    })

  it('runs once, is answered again as it answered, and finds its transaction by itself', async () => {
    const key = randomUUID()
    const [first, retry] = [await post(key), await post(key)]

    expect([first.status, retry.status, await countOrders(pool), calls]).toEqual([201, 201, 1, 1])
    expect([await first.text(), await retry.text()]).toEqual(['{"calls":1}', '{"calls":1}'])
    expect([first.headers.get('location'), retry.headers.get('location')]).toEqual(['/orders/1', '/orders/1'])
    expect(retry.headers.get('content-type')).toBe(first.headers.get('content-type'))
    expect([first.headers.get('idempotency-replayed'), retry.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ])
  })

  it('sends its cookies once, and the headers of middleware before it always', async () => {
    const key = randomUUID()
    const [first, retry] = [await post(key), await post(key)]

    expect([first.headers.getSetCookie(), retry.headers.getSetCookie()]).toEqual([['session=1', 'second=1'], []])
    expect([first, retry].map(({ headers }) => headers.get('access-control-allow-origin'))).toEqual(['*', '*'])
  })

  it('has sent nothing when its transaction cannot commit', async () => {
    behave = async () => {
      await insert()
      await idempotency
        .transaction()
        .query('select no_such_column')
        .catch(() => {})
      return { status: 201, body: { paid: true } }
    }

    const answer = await post(randomUUID())

    expect([answer.status, (await answer.text()).includes('paid'), await countOrders(pool)]).toEqual([500, false, 0])
  })

  it.each([true, false])('has a 4xx stored and its effects undone, thrown: %s', async (thrown) => {
    const key = randomUUID()
    behave = async () => {
      await insert()
      return { status: 409, body: { refusal: calls }, thrown }
    }

    const answers = [await post(key), await post(key)]

    expect(answers.map(({ status }) => status)).toEqual([409, 409])
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(['{"refusal":1}', '{"refusal":1}'])
    expect([answers[1]?.headers.get('idempotency-replayed'), await countOrders(pool), calls]).toEqual(['true', 0, 1])
  })

  it.each([true, false])('has a 5xx undone and not stored, thrown: %s', async (thrown) => {
    const key = randomUUID()
    behave = async () => {
      await insert()
      return { status: 500, body: { failed: true }, thrown }
    }
    const failed = await post(key)
    expect([failed.status, await failed.json(), await countOrders(pool), await stored()]).toEqual([
      500,
      { failed: true },
      0,
      0,
    ])
    behave = async () => {
      await insert()
      return { status: 201, body: {} }
    }

    expect([(await post(key)).status, await countOrders(pool)]).toEqual([201, 1])
  })

  it('is answered with 503 when it does not settle in time, and what it does later reaches nobody', async () => {
    const gate = Promise.withResolvers<void>()
    const late = Promise.withResolvers<unknown>()
    const impatient = await mount(idempotency, service, { timeoutMs: 300 })
    behave = async () => {
      await insert().catch(() => {}) // On a machine that is busy the time is over by then.
      await gate.promise
      await Promise.resolve()
        .then(insert)
        .catch((error: unknown) => late.resolve(error))
      return { status: 201, body: { late: true } }
    }

    const answer = await post(randomUUID(), {}, undefined, impatient.url)
    gate.resolve()

    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([503, 'timed-out'])
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(await late.promise).toMatchObject({ code: 'NOT_A_TRANSACTION' })
    expect([await countOrders(pool), await stored()]).toEqual([0, 0])
    behave = () => Promise.resolve({ status: 201, body: {} })
    expect((await post(randomUUID())).status).toBe(201)
    await impatient.close()
  })

  it('is refused its transaction by what it started and did not wait for', async () => {
    const gate = Promise.withResolvers<void>()
    const stray = Promise.withResolvers<unknown>()
    behave = async () => {
      await insert()
      void gate.promise.then(insert).catch((error: unknown) => stray.resolve(error))
      return { status: 201, body: {} }
    }

    await post(randomUUID())
    gate.resolve()

    expect(await stray.promise).toMatchObject({ code: 'NOT_A_TRANSACTION' })
    expect(await countOrders(pool)).toBe(1)
  })

  it('tells a conflict of transactions to the client, for it cannot be run again', async () => {
    behave = async () => {
      await insert()
      // Left to the end of the transaction, where nobody is left to handle it.
      await idempotency.transaction().query(`
        create function fail() returns trigger language plpgsql as $$ begin raise 'conflict' using errcode = '40001'; end $$;
        create constraint trigger conflict after insert on orders deferrable initially deferred
          for each row execute function fail()`)
      await insert()
      return { status: 201, body: {} }
    }

    const answer = await post(randomUUID())

    expect([answer.status, ((await answer.json()) as { code: string }).code, calls]).toEqual([503, 'no-effect', 1])
  })

  it('tells two requests apart, refuses one without a key, and lets concurrent ones run once', async () => {
    const key = randomUUID()
    const together = await Promise.all(Array.from({ length: 8 }, () => post(key)))

    expect(together.filter(({ status }) => status !== 409).map(({ status }) => status)).toContain(201)
    expect([await countOrders(pool), calls]).toEqual([1, 1])
    expect((await post(key, {}, '{"amount":2}')).status).toBe(422)
    const missing = await fetch(server.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    expect([missing.status, ((await missing.json()) as { code: string }).code]).toEqual([400, 'key-missing'])
  })

  it('has nothing outside of a request', () => {
    expect(idempotency.current()).toBeUndefined()
    expect(() => idempotency.transaction()).toThrow(expect.objectContaining({ code: 'NOT_A_TRANSACTION' }))
  })
})
