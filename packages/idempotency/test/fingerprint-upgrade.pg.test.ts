import { createHash } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createAtomicOperation } from '../src/http/atomic/atomic.ts'
import { type FingerprintRule, type FingerprintRules, releasedFingerprints } from '../src/http/fingerprint.ts'
import { resolveOptions, type ApplicationSettings } from '../src/http/options.ts'
import { NoEffectError } from '../src/index.ts'
import { createLeaseOperation } from '../src/http/lease/lease.ts'
import { type Caller, countOrders, createOrders, placeOrder, send } from './callers.ts'
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

const firstVersion = releasedFingerprints.byVersion.get(1) as FingerprintRule

/** The release before, which knew version 1 alone. */
const releaseBefore: FingerprintRules = { current: 1, byVersion: new Map([[1, firstVersion]]) }

/** A release in which a version 2 is current that compares nothing but the bytes of the body. */
const nextRelease: FingerprintRules = {
  current: 2,
  byVersion: new Map<number, FingerprintRule>([
    [1, firstVersion],
    [2, ({ body }) => createHash('sha256').update('version 2').update(body).digest()],
  ]),
}

function settingsOf(fingerprints: FingerprintRules): ApplicationSettings<pg.Pool, Caller> {
  const { tenant, subject } = {
    tenant: (caller: Caller) => caller.tenant,
    subject: (caller: Caller) => caller.subject,
  }
  return { ...resolveOptions({ db: pool, tenant, subject, pepper: 'p'.repeat(16) }), fingerprints }
}

const operation = 'createOrder'
const ordersOf = (rules: FingerprintRules) => createAtomicOperation(settingsOf(rules), { operation }, placeOrder)
const versions = async () =>
  (await pool.query('select fingerprint_version as version from malote.idempotency_keys')).rows.map(
    ({ version }) => version as number,
  )

describe('42. after an upgrade to fingerprints of version 2', () => {
  it('a response stored under version 1 is replayed by the rules of version 1', async () => {
    const first = await send(ordersOf(releaseBefore), { body: '{"a":1,"b":2}' })

    const retry = await send(ordersOf(nextRelease), { body: '{ "b": 2, "a": 1 }' })

    expect([retry.text, retry.headers['idempotency-replayed']]).toEqual([first.text, 'true'])
    expect([await versions(), await countOrders(pool)]).toEqual([[1], 1])
  })

  it('another request under a key of version 1 is refused, also one that version 1 could not read', async () => {
    await send(ordersOf(releaseBefore), { body: '{"a":1}' })

    for (const body of ['{"a":2}', '{"a":1,"a":1}'])
      expect((await send(ordersOf(nextRelease), { body })).status).toBe(422)
    expect(await countOrders(pool)).toBe(1)
  })

  it('new keys are of version 2, and a process of the release before does not take them for misuse', async () => {
    await send(ordersOf(nextRelease))

    const retry = await send(ordersOf(releaseBefore))

    expect([retry.status, JSON.parse(retry.text).code, retry.headers['retry-after']]).toEqual([409, 'in-progress', '1'])
    expect([await versions(), await countOrders(pool)]).toEqual([[2], 1])
  })

  it.each([
    ['that had no effect', true],
    ['whose lease ran out', false],
  ])('a lease request of version 1 %s goes on, and another request does not', async (_, isReleased) => {
    const attempts: number[] = []
    const buyOf = (rules: FingerprintRules) =>
      createLeaseOperation(settingsOf(rules), { operation, onLeaseExpired: 'resume' }, async ({ attempt }) => {
        attempts.push(attempt)
        if (attempt > 1) return { status: 200, body: 'bought' }
        throw new NoEffectError('closed')
      })
    await send(buyOf(releaseBefore), { body: '{"a":1,"b":2}' })
    if (!isReleased)
      await pool.query(`
        update malote.idempotency_keys
        set state = 'in_progress', lease_until = now() - interval '1 second', expires_at = 'infinity'`)

    expect((await send(buyOf(nextRelease), { body: '{"a":2}' })).status).toBe(422)
    expect((await send(buyOf(nextRelease), { body: '{"b":2,"a":1}' })).text).toBe('bought')

    expect([attempts, await versions()]).toEqual([[1, 2], [1]])
  })
})

describe('the fingerprints of this release', () => {
  const digestOf = async (pepper: string) => {
    const operationOf = createAtomicOperation(
      {
        ...resolveOptions({ db: pool, tenant: () => 'acme', subject: () => 'alice', pepper }),
        fingerprints: releasedFingerprints,
      },
      { operation },
      () => Promise.resolve({ status: 201 }),
    )
    await send(operationOf, { body: { pin: '1234' } })
    const { rows } = await pool.query('delete from malote.idempotency_keys returning fingerprint, fingerprint_version')
    return rows[0] as { fingerprint: Buffer; fingerprint_version: number }
  }

  it('are keyed with the pepper: who has the row alone cannot try out what the body may have been', async () => {
    const [one, other] = [await digestOf('p'.repeat(16)), await digestOf('q'.repeat(16))]

    expect([one.fingerprint_version, one.fingerprint.equals(other.fingerprint)]).toEqual([2, false])
  })

  it('still answer what the release before has stored', async () => {
    const first = await send(ordersOf(releaseBefore), { body: '{"a":1,"b":2}' })
    const [retry, other] = [
      await send(ordersOf(releasedFingerprints), { body: '{"b":2,"a":1}' }),
      await send(ordersOf(releasedFingerprints), { body: '{"b":2}' }),
    ]

    expect([retry.text, retry.headers['idempotency-replayed'], other.status]).toEqual([first.text, 'true', 422])
    expect([await versions(), await countOrders(pool)]).toEqual([[1], 1])
  })
})
