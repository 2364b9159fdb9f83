import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let owner: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  owner = database.owner
})
afterAll(() => database.drop())

const digest = `decode(repeat('ab', 32), 'hex')`
const sound = {
  tenant_id: `'acme'`,
  key_hash: digest,
  subject_hash: digest,
  fingerprint_version: '2',
  fingerprint: digest,
  operation: `'createOrder'`,
  state: `'completed'`,
  response_status: '201',
  lease_until: 'null',
  expires_at: 'now()',
}
type Row = Partial<typeof sound>

const insert = (changed: Row): string => {
  const row = { ...sound, ...changed }
  return `insert into malote.idempotency_keys (${Object.keys(row).join(', ')}) values (${Object.values(row).join(', ')})`
}
const update = (changed: Row): string => {
  const sets = Object.entries(changed).map(([column, value]) => `${column} = ${value}`)
  return `update malote.idempotency_keys set ${sets.join(', ')}`
}

/** What the statement is refused for, behind a sound row, which stays as it is. */
async function refusal(first: string, statement: string): Promise<unknown> {
  const client = await owner.connect()
  try {
    await client.query(`begin; ${first}`)
    return await client.query(statement).then(
      () => 'nothing',
      ({ code, constraint, table }: pg.DatabaseError) => [code, constraint, table],
    )
  } finally {
    await client.query('rollback')
    client.release()
  }
}

const broken: readonly (readonly [rule: string, changed: Row])[] = [
  ['tenant_is_not_empty', { tenant_id: `''` }],
  ['key_hash_is_sha256', { key_hash: `'\\xab'` }],
  ['subject_hash_is_sha256', { subject_hash: `'\\xab'` }],
  ['fingerprint_is_sha256', { fingerprint: `'\\xab'` }],
  ['state_is_known', { state: `'done'`, response_status: 'null' }],
  ['completed_iff_status', { response_status: 'null' }],
  ['completed_iff_status', { state: `'retryable'` }],
  ['in_progress_iff_leased', { lease_until: 'now()' }],
  ['in_progress_iff_leased', { state: `'in_progress'`, response_status: 'null' }],
]

describe('a row of a key that nobody could read back', () => {
  it.each(broken)('is refused by its rule (%s: %o)', async (rule, changed) => {
    const refused = ['23514', rule, 'idempotency_keys']
    expect(await refusal('select', insert(changed))).toEqual(refused)
    expect(await refusal(insert({}), update(changed))).toEqual(refused)
    // Replication and bulk loads pass by other triggers.
    const passingBy = 'set local session_replication_role = replica'
    expect(await refusal(passingBy, insert(changed))).toEqual(refused)
  })

  it('is told from one that is sound', async () => {
    expect(await refusal('select', insert({}))).toBe('nothing')
    expect(await refusal(insert({}), update({ state: `'retryable'`, response_status: 'null' }))).toBe('nothing')
  })
})
