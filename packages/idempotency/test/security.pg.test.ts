import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createIdempotency } from '../src/index.ts'
import { createScopeHasher } from '../src/http/scope.ts'
import {
  alice,
  bob,
  type Caller,
  countOrders,
  createOrders,
  idempotencyOn,
  key,
  mallory,
  placeOrder,
  send,
} from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys'))
afterAll(() => database.drop())

const operation = 'createOrder'
const rows = async () => (await pool.query('select * from malote.idempotency_keys')).rows

describe('scopes', () => {
  it('44. two tenants, and two users of one, are isolated under the same key and body', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    const answers = [await send(orders), await send(orders, { caller: bob }), await send(orders, { caller: mallory })]

    expect(answers.map(({ status, headers }) => [status, 'idempotency-replayed' in headers])).toEqual([
      [201, false],
      [201, false],
      [201, false],
    ])
    expect(new Set(answers.map(({ text }) => text)).size).toBe(3)
    expect(await countOrders(pool)).toBe(3)
  })

  it('44. the lengths of tenant, subject and key count: ("a", "bc") is not ("ab", "c")', () => {
    const hasher = createScopeHasher(Buffer.from('p'.repeat(16)))
    const hash = (tenant: string, subject: string, key: string) =>
      hasher.keyHashes({ tenant, subject, operation: '' }, key)[0].toString('hex')

    expect(new Set([hash('a', 'bc', 'd'), hash('ab', 'c', 'd'), hash('a', 'b', 'cd'), hash('', 'abc', 'd')]).size).toBe(
      4,
    )
  })

  it('44. another token of the same user is the same request', async () => {
    const idem = createIdempotency({
      db: pool,
      pepper: 'p'.repeat(16),
      tenant: () => 'acme',
      subject: (caller: Caller & { token: string }) => caller.subject,
    })
    const orders = idem.atomic({ operation }, placeOrder) as Parameters<typeof send>[0]

    await send(orders, { caller: { ...alice, token: 'one' } as Caller })
    await send(orders, { caller: { ...alice, token: 'refreshed' } as Caller })

    expect(await countOrders(pool)).toBe(1)
  })

  it('44. a caller who lost the right gets 403, not the stored response', async () => {
    const revoked = new Set<string>()
    const orders = idempotencyOn(pool).atomic(
      { operation, authorizeReplay: (caller, record) => record.status === 201 && !revoked.has(caller.subject) },
      placeOrder,
    )
    await send(orders)
    revoked.add('alice')

    const refused = await send(orders)

    expect([refused.status, JSON.parse(refused.text).code]).toEqual([403, 'replay-forbidden'])
  })

  it('a subject or tenant that resolves to nothing is refused before anything runs', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    await expect(send(orders, { caller: { tenant: '', subject: 'x' } })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    })
    await expect(send(orders, { caller: { tenant: 'x' } as Caller })).rejects.toMatchObject({ code: 'INVALID_OPTION' })
    expect(await countOrders(pool)).toBe(0)
  })

  it('with scope "operation" one key serves two operations, otherwise the second is a mismatch', async () => {
    const idem = idempotencyOn(pool)
    const both = (scope: 'subject' | 'operation') =>
      ['one', 'two'].map((operation) => idem.atomic({ operation, scope }, placeOrder))

    const apart = await Promise.all(both('operation').map((one, at) => send(one, { url: `/v1/${String(at)}` })))
    const [first, second] = both('subject')
    const together = [await send(first as never, { url: '/v1/a' }), await send(second as never, { url: '/v1/b' })]

    expect(apart.map(({ status }) => status)).toEqual([201, 201])
    expect(together.map(({ status }) => status)).toEqual([201, 422])
  })
})

describe('what is at rest', () => {
  it('neither the key nor the subject can be read from the row', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    await send(orders, { caller: { tenant: 'acme', subject: 'alice@example.org' } })

    const dump = JSON.stringify(await rows(), (_name, value: unknown) =>
      typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value
        ? Buffer.from(value.data as number[]).toString('latin1')
        : value,
    )

    expect(dump).not.toContain(key)
    expect(dump).not.toContain('alice@example.org')
  })

  it('an encrypted body is unreadable, replays, survives a key rotation, and does not open on another row', async () => {
    const [one, two] = [randomBytes(32), randomBytes(32)]
    const before = idempotencyOn(pool, { encryption: { keyId: 'one', keys: { one } } }).atomic(
      { operation },
      placeOrder,
    )
    const after = idempotencyOn(pool, { encryption: { keyId: 'two', keys: { one, two } } }).atomic(
      { operation },
      placeOrder,
    )
    const first = await send(before)

    expect((await rows())[0].response_body.toString()).not.toContain(JSON.parse(first.text).id as string)
    expect((await send(after)).text).toBe(first.text)

    await send(after, { caller: bob })
    await pool.query(`
      update malote.idempotency_keys as moved set response_body = other.response_body, encryption_key_id = other.encryption_key_id
      from malote.idempotency_keys as other where other.key_hash <> moved.key_hash`)
    await expect(send(after)).rejects.toThrow(/unable to authenticate/)
  })
})

describe('limits', () => {
  it('a tenant over its cap gets 429 and other tenants do not', async () => {
    const orders = idempotencyOn(pool, { maxKeysPerTenant: 2 }).atomic({ operation }, placeOrder)
    const use = (n: number, caller = alice) => send(orders, { key: `${key}-${String(n)}`, caller })

    const answers = [await use(1), await use(2), await use(3), await use(1), await use(4, mallory)]

    expect(answers.map(({ status }) => status)).toEqual([201, 201, 429, 201, 201])
    expect(await countOrders(pool)).toBe(3)
  })

  it('a request body over the limit is refused before it is digested', async () => {
    const orders = idempotencyOn(pool, { maxRequestBytes: 10 }).atomic({ operation }, placeOrder)

    expect((await send(orders, { body: '"0123456789"' })).status).toBe(413)
    expect(await rows()).toEqual([])
  })

  it('45. with the store down a required route answers 503 and its handler does not run', async () => {
    let ran = false
    const down = database.pool({ host: '127.0.0.1', port: 1, connectionString: undefined as never })
    const idem = idempotencyOn(down)
    const orders = idem.atomic({ operation }, () => ((ran = true), Promise.resolve({ status: 201 })))

    const answer = await send(orders)

    expect([answer.status, JSON.parse(answer.text).code, answer.headers['retry-after']]).toEqual([
      503,
      'store-unavailable',
      '5',
    ])
    expect([ran, idem.outcomes()]).toEqual([false, ['unavailable']])
  })

  it.each([
    [{ pepper: 'short' }, 'pepper'],
    [{ pepper: { current: 'short', accepted: [] } }, 'pepper.current'],
    [{ pepper: { current: 'p'.repeat(16), accepted: ['q'.repeat(16), 'short'] } }, 'pepper.accepted[1]'],
    [{ pepper: { current: 'p'.repeat(16), accepted: ['p'.repeat(16)] } }, 'pepper.accepted'],
    [{ pepper: { current: 'p'.repeat(16) } as never }, 'pepper.accepted'],
    [{ pepper: null as never }, 'pepper'],
    [{ tenant: undefined as never }, 'tenant'],
    [{ retention: { bodyMs: 2000, keyMs: 1000 } }, 'retention.bodyMs'],
    [{ encryption: { keyId: 'a', keys: { a: randomBytes(16) } } }, 'encryption.keys.a'],
    [{ encryption: { keyId: 'b', keys: { a: randomBytes(32) } } }, 'encryption.keyId'],
    [{ db: {} as never }, 'db'],
  ])('a bad option is refused at the start, by name (%#)', (change, name) => {
    expect(() => idempotencyOn(pool, change)).toThrow(`option "${name}"`)
  })

  it('a header that belongs to one exchange cannot be stored', () => {
    for (const name of ['Set-Cookie', 'date', 'traceparent', 'Access-Control-Allow-Origin'])
      expect(() => idempotencyOn(pool, { storedHeaders: [name] }).atomic({ operation }, placeOrder)).toThrow(
        name.toLowerCase(),
      )
  })
})
