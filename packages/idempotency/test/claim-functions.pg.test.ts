import { scaled } from '@malote/testing/slowness'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { lockNumberOf } from '../src/http/scope.ts'
import { alice, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { gate, isWaiting, withoutWaiting } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.owner.query('truncate orders, malote.idempotency_keys'))
afterAll(() => database.drop())

const operation = 'createOrder'
const isReplay = (answer: { headers: object }) => 'idempotency-replayed' in answer.headers
const storedRow = async () => (await pool.query('select * from malote.idempotency_keys')).rows[0]

/** A pool that notes the text of every round trip. */
function noting(): { readonly pool: pg.Pool; readonly texts: string[] } {
  const noted = database.pool({ max: 1 })
  const texts: string[] = []
  noted.on('connect', (client) => {
    const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
    Object.assign(client, {
      query: (text: string, values?: unknown[]) => {
        texts.push(text.replace(/\s+/g, ' '))
        return query(text, values)
      },
    })
  })
  return { pool: noted, texts }
}

const verbs = (text: string): string[] =>
  text
    .replaceAll(/'[^']*'/g, "''")
    .split('; ')
    .map((statement) => statement.split(/[ (]/)[0] as string)

// First, while no other session has anything to tell of its rows.
describe('the rows of a request', () => {
  it('are one, written once: there is none while the request is in flight', async () => {
    const before = await written()
    const own = database.pool({ max: 1 })
    let during: unknown
    await send(
      idempotencyOn(own).atomic({ operation }, async ({ tx }) => {
        during = (await tx.query('select * from malote.idempotency_keys')).rows
        return { status: 201 }
      }),
    )
    await own.end() // A session tells what it did when it ends. While it is idle, PostgreSQL 14 never would.

    expect(during).toEqual([])
    await expect.poll(written, { timeout: scaled(10_000) }).toEqual({ ...before, inserted: before.inserted + 1 })
  })

  async function written(): Promise<{ inserted: number; updated: number }> {
    const { rows } = await pool.query(
      `select n_tup_ins::int as inserted, n_tup_upd::int as updated from pg_stat_user_tables where relname = 'idempotency_keys'`,
    )
    return rows[0]
  }
})

describe('the round trips of a request', () => {
  it('are two around the handler of the first, one for a replay, and two for a replay in another process', async () => {
    const { pool: noted, texts } = noting()
    const operationOf = () => idempotencyOn(noted).atomic({ operation }, placeOrder)
    const [orders, other] = [operationOf(), operationOf()]
    const first = [['begin', 'call', 'savepoint'], ['insert'], ['call', 'commit']]
    const tripsOf = async (one: typeof orders) => {
      texts.length = 0
      return [isReplay(await send(one)), texts.map(verbs)]
    }

    expect(await tripsOf(orders)).toEqual([false, first])
    expect(await tripsOf(orders)).toEqual([true, [['call']]])
    expect(await tripsOf(other)).toEqual([true, [['begin', 'call', 'savepoint'], ['commit']]])
    expect(await tripsOf(other)).toEqual([true, [['call']]])
    await database.owner.query('truncate malote.idempotency_keys')
    expect(await tripsOf(orders)).toEqual([false, [['call'], ...first]])
    expect(await countOrders(pool)).toBe(2)
  })

  it('are three for a 4xx that undoes its effects, and two for one without a key', async () => {
    const { pool: noted, texts } = noting()
    const idem = idempotencyOn(noted)

    await send(idem.atomic({ operation }, () => Promise.resolve({ status: 422, body: 'no' })))
    expect(texts.map(verbs)).toEqual([['begin', 'call', 'savepoint'], ['rollback'], ['call', 'commit']])

    texts.length = 0
    await send(
      idem.atomic({ operation, required: false }, () => Promise.resolve({ status: 204 })),
      { key: null },
    )
    expect(texts.map(verbs)).toEqual([['begin', 'savepoint'], ['commit']])
  })
})

describe('a value that is written into the text of a statement', () => {
  it.each([
    ['a quote', "o'brien'); drop table orders; --"],
    ['a backslash', String.raw`back\slash \x41 \'`],
    ['a placeholder', '$1 $2::bytea $$'],
    ['any language', '李 🦊 \u{7f}'],
  ])('stays a value: %s', async (_, text) => {
    for (const conforming of ['on', 'off']) {
      const given = database.pool({ options: `-c standard_conforming_strings=${conforming}` })
      const orders = idempotencyOn(given).atomic({ operation: `${text} ${conforming}` }, async () =>
        Promise.resolve({ status: 201, body: text, headers: { link: encodeURI(text) }, resourceRef: text }),
      )
      const caller = { tenant: `${text} ${conforming}`, subject: text }

      const first = await send(orders, { caller })
      const second = await send(orders, { caller })

      expect([second.text, second.headers['link'], isReplay(second)]).toEqual([text, first.headers['link'], true])
      const { rows } = await pool.query(
        'select operation, resource_ref from malote.idempotency_keys where tenant_id = $1',
        [caller.tenant],
      )
      expect(rows).toEqual([{ operation: `${text} ${conforming}`, resource_ref: text }])
    }
  })
})

it('a database that was not migrated is named as the reason', async () => {
  const orders = idempotencyOn(pool, { schema: 'elsewhere' }).atomic({ operation }, placeOrder)

  await expect(send(orders)).rejects.toMatchObject({ code: 'SCHEMA_MISSING' })
})

describe('a key that somebody else works on', () => {
  it('in a process of an earlier release, whose row is not committed: 409 at once, then its response', async () => {
    await send(idempotencyOn(pool).atomic({ operation }, placeOrder))
    const known = await storedRow()
    await database.owner.query('truncate orders, malote.idempotency_keys')
    const earlier = await database.client()
    await earlier.query('begin')
    await earlier.query('select pg_try_advisory_xact_lock($1::bigint)', [lockNumberOf(known.key_hash)])
    await earlier.query(
      `insert into malote.idempotency_keys (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state,
        lease_until, body_expires_at, expires_at)
       values ($1, $2, $3, $4, $5, $6, 'in_progress', now(), now() + interval '1 day', now() + interval '1 day')`,
      [known.tenant_id, known.key_hash, known.subject_hash, known.fingerprint_version, known.fingerprint, operation],
    )
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    const during = await withoutWaiting(pool, send(orders))
    await earlier.query(`
      update malote.idempotency_keys set state = 'completed', lease_until = null, completed_at = now(), response_status = 201,
        response_headers = '{}', response_body = 'earlier', response_body_kept = true`)
    await earlier.query('commit')

    const after = await send(orders)
    expect([during.status, after.status, after.text, await countOrders(pool)]).toEqual([409, 201, 'earlier', 0])
  })

  it('is busy for a process of an earlier release: the locks are the same', async () => {
    await send(idempotencyOn(pool).atomic({ operation }, placeOrder))
    const { key_hash } = await storedRow()
    await database.owner.query('truncate orders, malote.idempotency_keys')
    let isFree: unknown
    await send(
      idempotencyOn(pool).atomic({ operation }, async (call) => {
        const { rows } = await pool.query('select pg_try_advisory_xact_lock($1::bigint) as free', [
          lockNumberOf(key_hash),
        ])
        isFree = rows[0].free
        return placeOrder(call)
      }),
    )

    expect([isFree, await countOrders(pool)]).toEqual([false, 1])
  })

  it.each([
    ['one pepper', {}],
    ['two peppers', { pepper: { current: 'the pepper of this year', accepted: ['the pepper of last year'] } }],
  ])(
    'in lease mode, which takes no lock: the row decides, and nothing of the atomic request is kept (%s)',
    async (_, peppers) => {
      const [entered, opened] = [gate(), gate()]
      const atomic = idempotencyOn(pool, peppers).atomic({ operation }, async (call) => {
        entered.open()
        await opened.passed
        return placeOrder(call)
      })
      const lease = idempotencyOn(pool, peppers).lease({ operation }, () =>
        Promise.resolve({ status: 201, body: 'lease' }),
      )
      const first = send(atomic)
      await entered.passed
      const second = await send(lease).finally(opened.open)

      expect([second.text, (await first).text, isReplay(await first), await countOrders(pool)]).toEqual([
        'lease',
        'lease',
        true,
        0,
      ])
    },
  )
})

describe('the end of a request', () => {
  it('is refused in another transaction than the one that claimed', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, async (call) => {
      await call.tx.query('rollback')
      await call.tx.query('begin')
      return placeOrder(call)
    })

    await expect(send(orders)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    expect([await countOrders(pool), await storedRow()]).toEqual([0, undefined])
  })

  it('counts the keys of a tenant exactly, of requests that end at once too; expired keys do not count', async () => {
    await send(idempotencyOn(pool).atomic({ operation }, placeOrder), { key: 'a-key-that-expires' })
    await pool.query(`update malote.idempotency_keys set expires_at = now() - interval '1 second'`)
    const [opened, all] = [gate(), gate()]
    let entered = 0
    const orders = idempotencyOn(pool, { maxKeysPerTenant: 3 }).atomic({ operation }, async (call) => {
      if (++entered === 8) all.open()
      await opened.passed
      return placeOrder(call)
    })

    const answers = Array.from({ length: 8 }, (_, at) => send(orders, { key: `a-key-of-many-requests-${String(at)}` }))
    await all.passed
    opened.open()
    const statuses = (await Promise.all(answers)).map(({ status }) => status)

    expect(statuses.filter((status) => status === 201)).toHaveLength(3)
    expect(statuses.filter((status) => status === 429)).toHaveLength(5)
    expect(await countOrders(pool)).toBe(4)
    expect(alice.tenant).toBe((await storedRow()).tenant_id)
  })

  it('counts behind the one that counted before it, which has not committed yet', async () => {
    const [finished, opened] = [gate(), gate()]
    const slow = database.pool({ max: 1 })
    slow.on('connect', (client) => {
      const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
      Object.assign(client, {
        query: async (text: string, values?: unknown[]) => {
          if (!text.includes('finish_key_v1')) return query(text, values)
          await query(text.replace(/; commit$/, ''))
          finished.open()
          await opened.passed
          return query('commit')
        },
      })
    })
    const limit = { maxKeysPerTenant: 1 }
    const first = send(idempotencyOn(slow, limit).atomic({ operation }, placeOrder), { key: 'a-key-that-comes-first' })
    await finished.passed
    const second = send(idempotencyOn(pool, limit).atomic({ operation }, placeOrder))
    await isWaiting(pool)
    opened.open()

    expect([(await first).status, (await second).status, await countOrders(pool)]).toEqual([201, 429, 1])
  })
})
