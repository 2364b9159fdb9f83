import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { generateKeyPairSync } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createCpfCipher } from '../src/accounts/cpf.ts'
import { createApi } from '../src/api/app.ts'
import { createTokens } from '../src/api/tokens.ts'
import { createDatabase, createPool, type Database } from '../src/database/database.ts'
import { migrateAll } from '../src/database/migrate.ts'
import { demoPassword, demoSecret, openAccounts } from '../src/demo/accounts.ts'
import { rebuildViews } from '../src/listeners/project-order.ts'
import { tick } from '../src/market/ticker.ts'
import { seededRandom } from '../src/process/random.ts'

let server: TestDatabase
let pool: pg.Pool
let db: Database
let api: FastifyInstance

const open = async (of: pg.Pool, requestsPerMinute: number | null) =>
  createApi({
    db: createDatabase(of),
    pool: of,
    tokens: await createTokens({ secret: demoSecret }),
    cpf: createCpfCipher(demoSecret),
    pepper: demoSecret,
    orderTimeoutMs: 300_000,
    demo: true,
    requestsPerMinute,
    controlUrl: null,
  })

beforeAll(async () => {
  server = await createTestDatabase(inject('postgresUrl'))
  pool = createPool(server.url)
  db = createDatabase(pool)
  await migrateAll(pool)
  await openAccounts(db)
  api = await open(pool, null)
})
afterAll(async () => {
  await api.close()
  await pool.end()
  await server.drop()
})

let keys = 0
const post = (url: string, payload: object, token?: string, headers: Record<string, string> = {}) =>
  api.inject({
    method: 'POST',
    url,
    payload,
    headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
  })
const get = (url: string, token = 'fake-token', headers: Record<string, string> = {}) =>
  api.inject({ method: 'GET', url, headers: { authorization: `Bearer ${token}`, ...headers } })
const order = (body: object = { amount: 1000, asset: 'PETR4', type: 'BUY' }, token = 'fake-token') =>
  post('/api/orders', body, token, { 'idempotency-key': `account-test-key-${String(++keys).padStart(6, '0')}` })

describe('signing in', () => {
  it('gives a token of five hours and one to renew it with, and neither is taken for the other', async () => {
    const signedIn = await post('/api/auth/token', { account: 'ACC-001', password: demoPassword })
    const { accessToken, refreshToken, expiresIn } = signedIn.json()
    const renewed = await post('/api/auth/refresh', { refreshToken })

    expect(expiresIn).toBe(5 * 3_600)
    expect((await get('/api/me', accessToken)).json()).toMatchObject({ account: 'ACC-001', role: 'USER' })
    expect((await get('/api/me', renewed.json().accessToken)).statusCode).toBe(200)
    expect((await get('/api/me', refreshToken)).statusCode).toBe(401)
    expect((await post('/api/auth/refresh', { refreshToken: accessToken })).statusCode).toBe(401)
  })

  it('is refused alike for a wrong password and for an account that does not exist', async () => {
    const [wrong, unknown] = await Promise.all(
      ['ACC-001', 'NOBODY'].map((account) => post('/api/auth/token', { account, password: 'guess' })),
    )

    expect([wrong?.statusCode, unknown?.statusCode]).toEqual([401, 401])
    expect(wrong?.body).toBe(unknown?.body)
  })

  it('takes no token of another key or another algorithm', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    const rsa = await createTokens({ privateKey, publicKey })
    const other = await createTokens({ secret: 'another secret of ours' })
    const [ofRsa, ofOther] = [await rsa.issue('ACC-001', 'ADMIN'), await other.issue('ACC-001', 'ADMIN')]

    expect((await get('/api/me', ofRsa.accessToken)).statusCode).toBe(401)
    expect((await get('/api/me', ofOther.accessToken)).statusCode).toBe(401)
    expect(await rsa.verify(ofRsa.accessToken, 'access')).toMatchObject({ accountId: 'ACC-001', role: 'ADMIN' })
  })
})

describe('permissions', () => {
  it.each(['/api/orders/analytics', '/api/audit?actor=ACC-001', '/api/manual-tasks', '/api/orders/customer/ACC-001'])(
    'of a customer do not open %s, those of an administrator do',
    async (url) => {
      expect((await get(url)).statusCode).toBe(403)
      expect((await get(url, 'fake-admin-token')).statusCode).toBe(200)
    },
  )

  it('of an administrator do not place orders', async () => {
    expect((await order(undefined, 'fake-admin-token')).statusCode).toBe(403)
  })
})

describe('personal data', () => {
  it('is unreadable in the database and shown masked to its owner', async () => {
    const { rows } = await pool.query(`select cpf_encrypted from accounts where account_id = 'ACC-DEMO'`)
    const cpf = createCpfCipher(demoSecret).decrypt('ACC-DEMO', rows[0].cpf_encrypted)

    expect(cpf).toMatch(/^\d{11}$/)
    expect(rows[0].cpf_encrypted.toString('latin1')).not.toContain(cpf)
    expect((await get('/api/me')).json().cpf).toBe(`***.***.${cpf.slice(6, 9)}-${cpf.slice(9)}`)
    expect(() => createCpfCipher(demoSecret).decrypt('ACC-001', rows[0].cpf_encrypted)).toThrow(/authenticate/)
  })
})

describe('a request', () => {
  it('keeps its correlation id up to the history of what it caused', async () => {
    const placed = await post('/api/orders', { quantity: 1.5, asset: 'VALE3', type: 'SELL' }, 'fake-token', {
      'idempotency-key': 'correlated-order-1',
      'x-correlation-id': 'call-me-42',
    })
    const { history } = (await get(`/api/orders/${String(placed.json().id)}/history`)).json()

    expect(placed.headers['x-correlation-id']).toBe('call-me-42')
    expect(history.map(({ correlationId }: { correlationId: string }) => correlationId)).toEqual([
      'call-me-42',
      'call-me-42',
    ])
    expect(placed.json()).toMatchObject({ quantity: 1.5, type: 'SELL' })
  })

  it('too many are refused with 429 and told when to come again', async () => {
    const strict = await open(pool, 3)
    const ask = () =>
      strict.inject({ method: 'GET', url: '/api/balance', headers: { authorization: 'Bearer fake-token' } })

    const answers = [await ask(), await ask(), await ask(), await ask()]
    await strict.close()

    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 429])
    expect(answers[0]?.headers['ratelimit-limit']).toBe('3')
    expect(answers[3]?.headers['retry-after']).toBeDefined()
    expect(answers[3]?.json()).toMatchObject({ code: 'TOO_MANY_REQUESTS', status: 429 })
  })

  it('while the database is away is answered 503 with Retry-After, and nothing is ready', async () => {
    const away = createPool('postgres://nobody@127.0.0.1:1/none')
    const lost = await open(away, null)
    const headers = { authorization: 'Bearer fake-token', 'idempotency-key': 'database-is-away-1' }
    const payload = { amount: 1, asset: 'PETR4', type: 'BUY' }

    const answers = await Promise.all([
      lost.inject({ method: 'POST', url: '/api/orders', headers, payload }),
      lost.inject({ method: 'GET', url: '/api/market/quotes' }),
      lost.inject({ method: 'GET', url: '/readyz' }),
    ])
    await lost.close()
    await away.end()

    for (const answer of answers) {
      expect([answer.statusCode, answer.json().code]).toEqual([503, 'UNAVAILABLE'])
      expect(answer.headers['retry-after']).toBeDefined()
    }
  })
})

describe('the query side', () => {
  it('filters, searches, sums up by asset and day, and says who did what', async () => {
    const { id } = (await order()).json()
    await order({ amount: 50, asset: 'ITUB4', type: 'SELL' })
    await rebuildViews(db)
    const assets = async (url: string) =>
      (await get(url)).json().orders.map(({ asset }: { asset: string }) => asset) as string[]

    expect(new Set(await assets('/api/orders?asset=ITUB4&type=SELL&status=BALANCE_RESERVED'))).toEqual(
      new Set(['ITUB4']),
    )
    expect(await assets('/api/orders?from=2001-01-01&to=2001-01-02')).toEqual([])
    expect(await assets(`/api/orders/search?q=${String(id).slice(20)}`)).toEqual(['PETR4'])
    expect(await assets('/api/orders/search?q=%25%25')).toEqual([])
    const { days } = (await get('/api/orders/analytics', 'fake-admin-token')).json()
    expect(days.find(({ asset }: { asset: string }) => asset === 'PETR4')).toMatchObject({ settled: 0 })
    const { entries } = (await get('/api/audit?actor=ACC-DEMO', 'fake-admin-token')).json()
    expect(entries.map(({ orderId }: { orderId: string }) => orderId)).toContain(id)
  })
})

describe('the market', () => {
  it('moves the same way for the same seed, averages five minutes, and forgets what is older', async () => {
    await pool.query(
      `insert into ticks (asset, price_centavos, ticked_at) values ('PETR4', 1, now() - interval '6 minutes')`,
    )
    const random = seededRandom(7)
    await tick(db, random)
    await tick(db, random)

    const { rows } = await pool.query(`select price_centavos from ticks where asset = 'PETR4' order by ticked_at`)
    const { quotes } = (await get('/api/market/quotes')).json()
    const petr4 = quotes.find(({ asset }: { asset: string }) => asset === 'PETR4')

    expect(rows).toHaveLength(2)
    expect(petr4.price * 100).toBeCloseTo(rows[1].price_centavos)
    expect(petr4.average5m * 100).toBeCloseTo(Math.round((rows[0].price_centavos + rows[1].price_centavos) / 2), 0)
  })
})

describe('the description', () => {
  it('is OpenAPI 3.1, made from the schemas that check requests', async () => {
    const document = (await api.inject('/openapi.json')).json()

    expect(document.openapi).toBe('3.1.0')
    const placing = document.paths['/api/orders'].post
    expect(Object.keys(placing.requestBody.content['application/json'].schema.properties)).toEqual([
      'amount',
      'quantity',
      'asset',
      'type',
    ])
    expect(placing.parameters[0]).toMatchObject({ name: 'Idempotency-Key', in: 'header', required: true })
    expect(Object.keys(placing.responses)).toEqual(expect.arrayContaining(['202', '409', '422', 'default']))
    expect((await api.inject('/swagger')).statusCode).toBeLessThan(400)
  })

  it.each([
    '/api/audit?actor=a%00b',
    '/api/orders/search?q=a%00b',
    '/api/orders?asset=a%00b',
    '/api/orders/customer/a%00b',
  ])('a NUL in %s is refused as the client’s mistake', async (url) => {
    const response = await api.inject({ url, headers: { authorization: 'Bearer fake-admin-token' } })

    expect([response.statusCode, response.json().detail]).toEqual([400, expect.stringContaining('NUL')])
  })

  it('its description asks nobody to sign in for what is open to all, and everybody for the rest', async () => {
    const { paths } = (await api.inject('/openapi.json')).json()

    expect(paths['/api/market/quotes'].get.security).toEqual([])
    expect(paths['/api/orders'].post.security).toBeUndefined()
  })

  it('metrics tell of requests, orders and what waits', async () => {
    await order()
    const { body } = await api.inject('/metrics')

    for (const metric of [
      'http_requests_total',
      'brokerage_order_requests_total',
      'brokerage_outbox_depth',
      'brokerage_breaker_open',
      'brokerage_settlement_behind',
    ])
      expect(body).toContain(metric)
    expect((await api.inject('/healthz')).json()).toEqual({ status: 'ok' })
  })
})
