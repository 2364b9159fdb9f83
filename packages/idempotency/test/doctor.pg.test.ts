import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { createOutbox, diagnose, type Finding, grantStatements, migrate } from '@malote/outbox-core'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox, maintainInbox, migrateIdempotency } from '../src/index.ts'
import { createOrders, idempotencyOn, placeOrder, send } from './callers.ts'

const role = `consumer_${String(process.pid)}_${String(Date.now())}`
const limits = { brokerRetentionMs: 1_000 }
let database: TestDatabase
let owner: pg.Pool
let consumer: pg.Pool
let looker: pg.Client

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  owner = database.pool()
  await migrate(owner)
  await owner.query(createOrders)
  await owner.query(`create role ${role} login password 'p'`)
})
beforeEach(async () => {
  await migrateIdempotency(owner)
  await owner.query(grantStatements(role, 'consumer').join('\n'))
  await owner.query(grantStatements(role, 'reader').join('\n'))
  await owner.query(
    `grant select, insert on orders to ${role}; grant usage on all sequences in schema public to ${role}`,
  )
  const connectionString = Object.assign(new URL(database.url), { username: role, password: 'p' }).toString()
  consumer = new pg.Pool({ connectionString })
  looker = new pg.Client({ connectionString })
  await looker.connect()
})
afterEach(async () => {
  await Promise.all([consumer.end(), looker.end()])
  await database.truncate('orders, malote.idempotency_keys, malote.inbox_watermarks, malote.dead_letters')
})
afterAll(async () => {
  await owner.query(`drop owned by ${role}; drop role ${role}`)
  await database.drop()
})

const look = (): Promise<readonly Finding[]> => diagnose(looker, { purpose: 'consumer', limits, migrateIdempotency })
const codes = async (): Promise<string[]> =>
  (await look()).filter(({ level }) => level !== 'ok').map(({ code }) => code)

describe('with the documented grants of a consumer', () => {
  it('the inbox and idempotent requests work', async () => {
    await migrateIdempotency(consumer)
    const orders = idempotencyOn(consumer).atomic({ operation: 'createOrder' }, placeOrder)
    const first = await send(orders)
    const again = await send(orders)
    const inbox = createInbox()
    const arrived = { consumer: 'ledger', messageId: crypto.randomUUID(), occurredAt: new Date() }
    const effects = [
      await inbox.transact(consumer, arrived, async () => {}),
      await inbox.transact(consumer, arrived, async () => {}),
    ]
    await idempotencyOn(consumer).purge()
    await maintainInbox(consumer)

    expect(again.text).toBe(first.text)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(effects).toEqual(['processed', 'duplicate'])
    expect(await codes()).not.toContain('GRANTS_MISSING')
  })

  it('every table and function of idempotency is known to the doctor, and each that lacks is named', async () => {
    // A partition is reached through its table.
    const { rows } = await owner.query(`
      select 'table' as kind, relname::text as name from pg_class
        where relnamespace = 'malote'::regnamespace and relkind in ('r', 'p') and not relispartition
      union all
      select 'function', format('%s(%s)', proname, pg_get_function_identity_arguments(oid)) from pg_proc
        where pronamespace = 'malote'::regnamespace and prorettype <> 'trigger'::regtype`) // Who fires one needs no right on it.
    const purposes = ['writer', 'relay', 'operator', 'consumer', 'reader'] as const
    const known = purposes.flatMap((purpose) => grantStatements(role, purpose))
    const names = rows.map(({ name }) => String(name).replace(/\(.*/s, ''))
    expect(
      names.filter((name) => !known.some((grant) => grant.includes(`.${name} `) || grant.includes(`.${name}(`))),
    ).toEqual([])

    await owner.query(`revoke execute on function malote.free_consumer_id() from public, ${role}`)
    await owner.query(`revoke update on malote.idempotency_keys from ${role}`)
    const lacking = (await look()).find(({ code }) => code === 'GRANTS_MISSING')
    expect(lacking?.detail).toMatch(
      /update on table idempotency_keys.*execute on function free_consumer_id|execute on function free_consumer_id.*update on table idempotency_keys/,
    )
    await owner.query('grant execute on function malote.free_consumer_id() to public')
  })
})

describe('the doctor finds', () => {
  it('tables of idempotency that are missing, or older than the package', async () => {
    const newest = `component = 'idempotency' and name = (select max(name) from malote.migrations where component = 'idempotency')`
    const { rows } = await owner.query(`select * from malote.migrations where ${newest}`)
    await owner.query(`delete from malote.migrations where ${newest}`)
    expect(await codes()).toContain('IDEMPOTENCY_OLDER')
    const values = ['component', 'name', 'checksum'].map((column) => String(rows[0]?.[column]))
    await owner.query('insert into malote.migrations (component, name, checksum) values ($1, $2, $3)', values)
    expect(await codes()).not.toContain('IDEMPOTENCY_OLDER')
    await migrate(owner, { schema: 'bare' })
    const client = await owner.connect()
    const bare = await diagnose(client, { purpose: 'consumer', schema: 'bare' })
    client.release()
    expect(bare.find(({ code }) => code === 'IDEMPOTENCY_MISSING')?.mend).toContain('--only idempotency --schema bare')
    expect(bare.find(({ code }) => code === 'GRANTS_MISSING')).toBeUndefined()
  })

  it('an inbox that forgets earlier than the broker, and dead letters that it would refuse', async () => {
    await owner.query(`
      insert into malote.inbox_watermarks values ('simple', now() - interval '2 days');
      insert into malote.dead_letters (id, seq, lane, topic, type, payload, content_type, created_at, attempts, reason)
        values (gen_random_uuid(), 1, 0, 't', 't', '{}', 'application/json', now() - interval '3 days', 1, 'PERMANENT')`)

    expect(await codes()).toContain('DEAD_LETTERS_FORGOTTEN')
    expect(await codes()).not.toContain('INBOX_RETENTION_SHORT')
    const findings = await diagnose(looker, { purpose: 'consumer' })
    expect(findings.find(({ code }) => code === 'INBOX_RETENTION_SHORT')?.detail).toContain('after 2 days')
  })

  it('requests nobody knows the end of, keys nobody purges, and an index that is gone', async () => {
    const orders = idempotencyOn(owner).atomic({ operation: 'createOrder' }, placeOrder)
    await send(orders)
    expect(await codes()).not.toEqual(expect.arrayContaining([expect.stringMatching(/^KEYS/)]))
    await owner.query(`update malote.idempotency_keys set expires_at = now() - interval '2 days'`)
    expect(await codes()).toContain('KEYS_NOT_PURGED')
    await owner.query(`
      insert into malote.idempotency_keys (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state, expires_at)
      select 't', key_hash, subject_hash, 1, fingerprint, 'o', 'indeterminate', 'infinity' from malote.idempotency_keys`)
    expect(await codes()).toContain('KEYS_INDETERMINATE')
    await owner.query('drop index malote.idempotency_keys_expires_at')
    const mend = (await look()).find(({ code }) => code === 'INDEX_MISSING')?.mend
    await owner.query(String(mend))
    expect(await codes()).not.toContain('INDEX_MISSING')
  })

  it('nothing where the application adds through the same database', async () => {
    const client = await owner.connect()
    await client.query('begin')
    await createOutbox().add(client, { topic: 't', type: 't', payload: {} })
    await client.query('rollback')
    client.release()
    expect((await codes()).filter((code) => !['UNSEEN', 'NO_RELAY', 'NEVER_USED'].includes(code))).toEqual([])
  })
})
