import { runConformanceCase } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { migrateIdempotency } from '../src/index.ts'
import { createPostgresLeaseStore } from '../src/stores/postgres-lease-store.ts'
import { leaseStoreConformance, type LeaseStoreHarness } from '../src/testing/index.ts'

let database: TestDatabase
let harness: LeaseStoreHarness

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrateIdempotency(database.pool())
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
})
