import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { createOutbox, diagnose, type Finding, grantStatements, migrate } from '@malote/outbox-core'
import { createConsole } from '@malote/outbox-core/console'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox, maintainInbox, migrateIdempotency } from '../src/index.ts'
import { createOrders, idempotencyOn, placeOrder, send } from './callers.ts'

const role = `consumer_${String(process.pid)}_${String(Date.now())}`
const limits = { brokerRetentionMs: 1_000 }
let database: TestDatabase
let url: string // As the role.
let owner: pg.Pool
let consumer: pg.Pool
let looker: pg.Client

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  url = Object.assign(new URL(database.url), { username: role, password: 'p' }).toString()
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
  consumer = new pg.Pool({ connectionString: url })
  looker = new pg.Client({ connectionString: url })
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

const program = fileURLToPath(new URL('../../outbox-core/src/cli/main.ts', import.meta.url))

const malote = (...words: string[]): ReturnType<typeof run> => run(database.url, words)

function run(url: string, words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--conditions=@malote/source', program, ...words],
      { env: { ...process.env, DATABASE_URL: url, NODE_OPTIONS: '' } },
      (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
    child.stdin?.end()
  })
}

async function bury(messageId: string, age: string): Promise<string> {
  const { rows } = await owner.query(
    `insert into malote.dead_letters (id, seq, lane, topic, type, payload, content_type, created_at, attempts, reason)
    values ($1, 1, 0, 't', 't', '{}', 'application/json', now() - $2::interval, 1, 'PERMANENT') returning dead_letter_id::text as id`,
    [messageId, age],
  )
  return String(rows[0]?.id)
}

describe('a replay', () => {
  it('is explained for each consumer, and refused where an inbox has forgotten', async () => {
    const inbox = createInbox()
    const id = crypto.randomUUID()
    await inbox.transact(owner, { consumer: 'ledger', messageId: id, occurredAt: new Date() }, async () => {})
    await inbox.transact(
      owner,
      { consumer: 'mails', messageId: crypto.randomUUID(), occurredAt: new Date() },
      async () => {},
    )
    const known = await bury(id, '1 hour')
    const old = await bury(crypto.randomUUID(), '3 days')
    await owner.query(`insert into malote.inbox_watermarks values ('simple', now() - interval '2 days')`)

    const operator = await database.urlAs((name) => grantStatements(name, 'operator'), { always: true })

    const explained = await run(operator, ['dead-letters', 'replay', known, old, '--explain', '--json'])
    const refused = await run(operator, ['dead-letters', 'replay', known, old])
    const looked = await run(operator, ['doctor', '--as', 'operator'])
    const forced = await malote('dead-letters', 'replay', known, old, '--force', '--reason', 'the ledger is rebuilt')

    const answers = JSON.parse(explained.stdout) as { deadLetterId: string; consumer: string; outcome: string }[]
    const shown = answers.filter(({ consumer }) => ['ledger', 'mails'].includes(consumer))
    expect(shown.map(({ deadLetterId, consumer, outcome }) => [deadLetterId, consumer, outcome])).toEqual([
      [known, 'ledger', 'applied'],
      [known, 'mails', 'not applied'],
      [old, 'ledger', 'forgotten'],
      [old, 'mails', 'forgotten'],
    ])
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('refused as stale') })
    expect(looked.stdout).not.toContain('may not look')
    expect(forced).toMatchObject({ code: 0, stdout: 'replayed 2\n' })
    await owner.query('truncate malote.messages, malote.operator_actions')
  })
})

describe('malote purge', () => {
  it('forgets old proofs of the inbox and expired keys, keeps the others, and notes both', async () => {
    await owner.query(grantStatements(role, 'operator').join('\n'))
    const [old, young] = [crypto.randomUUID(), crypto.randomUUID()]
    for (const messageId of [old, young])
      await createInbox().transact(owner, { consumer: 'purged', messageId, occurredAt: new Date() }, async () => {})
    await owner.query(
      `update malote.processed_messages set processed_at = now() - interval '20 days' where message_id = $1`,
      [old],
    )
    const orders = idempotencyOn(owner).atomic({ operation: 'createOrder' }, placeOrder)
    await send(orders)
    await owner.query(`update malote.idempotency_keys set expires_at = now() - interval '1 minute'`)
    await send(orders, { key: crypto.randomUUID() })
    const before = await owner.query('select from malote.processed_messages')

    const [inbox, keys] = [
      await run(url, ['purge', '--only', 'inbox', '--older-than', '14', '--yes', '--reason', 'policy']),
      await run(url, ['purge', '--only', 'keys', '--yes', '--json']),
    ]

    expect(inbox).toMatchObject({ code: 0, stdout: 'purged 1\n', stderr: '' })
    expect(keys).toMatchObject({ code: 0, stdout: expect.stringContaining('"purged":1') })
    expect((await owner.query('select from malote.processed_messages')).rowCount).toBe((before.rowCount ?? 0) - 1)
    expect((await owner.query('select from malote.idempotency_keys')).rowCount).toBe(1)
    expect(await run(url, ['purge', '--only', 'keys', '--older-than', '1'])).toMatchObject({ code: 2 })
    const { rows } = await owner.query(
      `select target -> 0 ->> 'id' as what, target -> 0 ->> 'state' as state, affected, reason
      from malote.operator_actions where action = 'purge' order by operator_action_id`,
    )
    expect(rows).toEqual([
      { what: 'inbox', state: 'begun', affected: 0, reason: 'policy' },
      { what: 'inbox', state: 'done', affected: 1, reason: 'policy' },
      { what: 'keys', state: 'begun', affected: 0, reason: null },
      { what: 'keys', state: 'done', affected: 1, reason: null },
    ])
    await owner.query('truncate malote.operator_actions')
  })

  it('needs what a consumer has and what an operator has: with either alone it forgets nothing and says what is missing', async () => {
    await send(idempotencyOn(owner).atomic({ operation: 'createOrder' }, placeOrder))
    await owner.query(`update malote.idempotency_keys set expires_at = now() - interval '1 minute'`)
    const purge = () => run(url, ['purge', '--only', 'keys', '--yes'])

    await owner.query(`revoke all on malote.operator_actions from ${role}`)
    const onlyConsumer = await purge()
    await owner.query(grantStatements(role, 'operator').join('\n'))
    await owner.query(`revoke all on malote.idempotency_keys, malote.processed_messages from ${role}`)
    const inbox = ['purge', '--only', 'inbox', '--older-than', '14', '--yes']
    const onlyOperator = await Promise.all([purge(), run(url, inbox)])

    expect(onlyConsumer).toMatchObject({ code: 1, stderr: expect.stringContaining('operator_actions') })
    for (const { code, stderr } of onlyOperator) {
      expect(code).toBe(1)
      expect(stderr).toMatch(/permission denied .*: give this role what `malote grants --role … --for consumer` prints/)
    }
    expect((await owner.query('select from malote.idempotency_keys')).rowCount).toBe(1)
    await owner.query('truncate malote.operator_actions')
  })
})

describe('the console', () => {
  it('counts inboxes, says what each would do with a replay, and refuses what one has forgotten', async () => {
    const arrived = { consumer: 'ledger', messageId: crypto.randomUUID(), occurredAt: new Date() }
    await createInbox().transact(owner, arrived, async () => {})
    const old = await bury(crypto.randomUUID(), '3 days')
    await owner.query(`insert into malote.inbox_watermarks values ('simple', now() - interval '2 days')`)
    const handle = createConsole({ pool: owner, access: 'loopback', allowActions: true, migrateIdempotency })
    const ask = async (path: string, body?: object) => {
      const origin = 'http://localhost'
      const headers = { origin, 'content-type': 'application/json' }
      const post = body === undefined ? {} : { method: 'POST', headers, body: JSON.stringify(body) }
      return (await handle(new Request(`${origin}/api/${path}`, post))).json() as Promise<Record<string, unknown>>
    }
    const decision = { deadLetterIds: [old], operator: 'ana', reason: 'the ledger is rebuilt' }

    const [view, explained] = [await ask('view'), await ask(`explain?id=${old}`)]
    const refused = await ask('actions/replay', decision)
    const forced = await ask('actions/replay', { ...decision, force: true })

    expect(view['consumerCounts']).toEqual(
      expect.arrayContaining([{ name: 'processed_messages', rows: expect.any(Number) }]),
    )
    expect(explained['explained']).toEqual(
      expect.arrayContaining([expect.objectContaining({ consumer: 'ledger', outcome: 'forgotten' })]),
    )
    expect(refused).toMatchObject({ status: 409, code: 'FORGOTTEN' })
    expect(forced).toEqual({ done: 1, wanted: 1 })
    await owner.query('truncate malote.messages, malote.operator_actions')
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
