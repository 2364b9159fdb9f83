import { runConformanceCase } from '@malote/outbox-core/testing'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { leaseStatements } from '../src/http/lease/stores/lease-statements.ts'
import { createPostgresLeaseStore } from '../src/http/lease/stores/postgres-lease-store.ts'
import { leaseStoreConformance, type LeaseStoreHarness } from '../src/testing/index.ts'
import { isWaiting } from './gates.ts'
import { aClaim } from './lease-model.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let harness: LeaseStoreHarness

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  harness = {
    createStore: () => Promise.resolve(createPostgresLeaseStore(database.pool({ max: 2 }))),
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  }
})
afterAll(() => database.drop())

describe('the PostgreSQL store of leases', () => {
  it.each(leaseStoreConformance)('$name', async (one) => {
    expect(await runConformanceCase(one, harness)).toMatchObject({ status: 'passed' })
  })

  it('claims that name the hashes of a key in opposite orders cannot deadlock', async () => {
    const pool = database.pool()
    const [least, middle, most] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte)) as [Buffer, Buffer, Buffer]
    const claim = aClaim('hold', least, { leaseMs: 60_000, bodyRetentionMs: 60_000, keyRetentionMs: 60_000 })
    const holder = await database.client()
    await holder.query('begin')
    await holder.query(leaseStatements('malote').claim, [
      claim.tenant,
      [middle],
      claim.subjectHash,
      claim.fingerprintVersion,
      claim.fingerprint,
      claim.operation,
      claim.leaseMs,
      claim.keyRetentionMs,
      null,
    ])

    // The first is stopped in the middle of its hashes, the second behind what the first has taken by then.
    const first = createPostgresLeaseStore(pool).claim({ ...claim, otherHashes: [middle, most] })
    await isWaiting(pool)
    const second = createPostgresLeaseStore(pool).claim({ ...claim, keyHash: most, otherHashes: [least] })
    await isWaiting(pool, 2)
    await holder.query('rollback')

    expect(await Promise.allSettled([first, second])).toMatchObject([
      { status: 'fulfilled', value: { kind: 'claimed', keyHash: least } },
      { status: 'fulfilled', value: { kind: 'known', record: { keyHash: least } } },
    ])
  })
})
