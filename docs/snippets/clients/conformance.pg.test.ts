import { migrate } from '@malote/outbox-core'
import { clientConformance, runConformanceCase, splitConformance } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type AnyHarness, clients } from './harnesses.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrate(database.pool())
})
afterAll(() => database.drop())

const lost = 'throws outside of any promise when a connection is lost in a transaction'
const absences: Record<string, { survivesLostConnections: string }> = {
  'postgres.js': { survivesLostConnections: `postgres.js 3.4 ${lost}` },
  'drizzle on postgres.js': { survivesLostConnections: `postgres.js 3.4 ${lost}` },
  'mikro-orm': { survivesLostConnections: `MikroORM 7 ${lost}` },
}

describe.each(Object.keys(clients))('client conformance of %s', (name) => {
  let harness: AnyHarness

  beforeAll(async () => {
    const made = (await clients[name]?.(database)) as AnyHarness
    const pool = database.pool()
    harness = { ...made, read: async (text, values) => (await pool.query(text, values)).rows }
  })
  afterAll(() => harness.end())

  const { applicable, notRun } = splitConformance(clientConformance, absences[name])

  it.each(notRun)('$name: not run, $reason', ({ reason }) => expect(reason).toContain(lost))

  it.each(applicable)('$name', async (one) => {
    const result = await runConformanceCase(one, harness)
    if (result.status === 'failed') throw result.error
  })
})
