import { randomBytes } from 'node:crypto'
import { eventually } from '@malote/outbox-core/testing'
import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { idempotencyOn, send } from './callers.ts'
import type { LeasedKey, LeaseExpiryPolicy } from '../src/http/lease/stores/lease-store.ts'
import { createPostgresLeaseStore } from '../src/http/lease/stores/postgres-lease-store.ts'
import { aClaim, LeaseModel, policies, storedResponse } from './lease-model.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
})
afterAll(() => database.drop())

const retention = { bodyRetentionMs: 60_000, keyRetentionMs: 60_000 }

/** What may happen to a key, by whom: processes are numbered, and each keeps the fence it was given last. */
type Step =
  | {
      readonly kind: 'claim' | 'renew' | 'complete' | 'retryable' | 'indeterminate' | 'crash'
      readonly process: number
    }
  | { readonly kind: 'lease runs out' | 'operator completes' | 'operator frees' | 'purge' | 'mismatch' }

const processes = fc.integer({ min: 0, max: 2 })
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('claim' as const), process: processes }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom(
          'renew' as const,
          'complete' as const,
          'retryable' as const,
          'indeterminate' as const,
          'crash' as const,
        ),
        process: processes,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom(
          'lease runs out' as const,
          'operator completes' as const,
          'operator frees' as const,
          'purge' as const,
          'mismatch' as const,
        ),
      }),
    },
  ) as fc.Arbitrary<Step>,
  { minLength: 3, maxLength: 14 },
)

describe('the store and a model of it', () => {
  it('9. of 8 requests at once that find an expired lease one takes it over, with the next fence', async () => {
    await database.owner.query('truncate malote.idempotency_keys')
    let runs = 0
    const buy = idempotencyOn(pool).lease({ operation: 'buy', onLeaseExpired: 'retry' }, async ({ attempt }) => {
      if (attempt === 1) return new Promise(() => {}) // Its process hangs for ever.
      runs++
      return Promise.resolve({ status: 200 })
    })
    void send(buy)
    await eventually(async () => {
      const { rowCount } = await pool.query(
        `update malote.idempotency_keys set lease_until = now() - interval '1 second'`,
      )
      expect(rowCount).toBe(1)
    })

    const statuses = (await Promise.all(Array.from({ length: 8 }, () => send(buy)))).map(({ status }) => status)

    expect(statuses.every((status) => status === 200 || status === 409)).toBe(true)
    expect(runs).toBe(1)
    expect((await pool.query('select fence, attempt from malote.idempotency_keys')).rows).toEqual([
      { fence: '2', attempt: 2 },
    ])
  })

  it('14. agree after every step of random interleavings: at most one completion of a key', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...policies), steps, async (policy, story) => {
        await play(policy, story)
      }),
      { numRuns: 150 },
    )
  })
})

async function play(policy: LeaseExpiryPolicy, story: readonly Step[]): Promise<void> {
  const store = createPostgresLeaseStore(pool)
  const model = new LeaseModel(policy)
  const held = new Map<number, LeasedKey>()
  const claim = aClaim(policy, randomBytes(32), { ...retention, leaseMs: 60_000 })
  const never: LeasedKey = { ...claim, fence: 0 }

  for (const step of story) {
    switch (step.kind) {
      case 'claim': {
        const result = await store.claim(claim)
        expect(result.kind === 'claimed').toBe(model.claim(step.process))
        if (result.kind === 'claimed') {
          expect(result.attempt).toBe(model.attempt)
          held.set(step.process, { ...claim, fence: result.fence })
        } else if (result.kind === 'known') expect(result.record.state).toBe(model.state)
        break
      }
      case 'renew':
        expect(await store.renew(held.get(step.process) ?? never, 60_000)).toBe(model.asOwner(step.process, 'renew'))
        break
      case 'complete':
        expect(await store.complete(held.get(step.process) ?? never, storedResponse, retention)).toBe(
          model.asOwner(step.process, 'complete'),
        )
        break
      case 'retryable':
      case 'indeterminate':
        expect(await store.release(held.get(step.process) ?? never, step.kind, retention)).toBe(
          model.asOwner(step.process, step.kind),
        )
        break
      case 'crash':
        // The process forgets its fence; the key does not.
        if (model.owner === step.process) model.owner = null
        held.delete(step.process)
        break
      case 'lease runs out':
        await pool.query(
          `update malote.idempotency_keys set lease_until = now() - interval '1 second' where key_hash = $1 and state = 'in_progress'`,
          [claim.keyHash],
        )
        if (model.state === 'in_progress') model.expired = true
        break
      case 'operator completes':
        expect(await store.resolve(claim, storedResponse, retention)).toBe(model.operator('completed'))
        break
      case 'operator frees':
        expect(await store.resolve(claim, 'retryable', retention)).toBe(model.operator('retryable'))
        break
      case 'purge':
        await pool.query(
          `delete from malote.idempotency_keys where expires_at <= now() and state in ('completed', 'retryable')`,
        )
        break
      case 'mismatch':
        expect((await store.claim({ ...claim, fingerprint: randomBytes(32) })).kind).toBe(
          model.state === 'absent' ? 'claimed' : 'known',
        )
        if (model.state === 'absent') return // The key is somebody else's now: another story.
        break
    }
  }
  expect(model.completions).toBeLessThanOrEqual(1)
}
