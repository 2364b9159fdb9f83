import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { maloteIn } from '@malote/testing/malote-command'
import { grantStatements, migrate, type RolePurpose } from '@malote/outbox-core'
import { createConsole } from '@malote/outbox-core/console'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createInbox, migrateIdempotency } from '../src/index.ts'
import { createOrders, idempotencyOn, placeOrder, send } from './callers.ts'

let database: TestDatabase
let owner: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  owner = database.pool()
  await migrate(owner)
  await migrateIdempotency(owner)
  await owner.query(createOrders)
})
afterEach(() =>
  database.truncate(
    'orders, malote.idempotency_keys, malote.inbox_watermarks, malote.dead_letters, malote.messages, malote.operator_actions',
  ),
)
afterAll(() => database.drop())

/** The command line of somebody who has the documented grants of these purposes and nothing else. */
async function maloteAs(...purposes: RolePurpose[]): Promise<ReturnType<typeof maloteIn>> {
  const grants = (role: string): string[] => purposes.flatMap((purpose) => grantStatements(role, purpose))
  const url = await database.urlAs(grants, { always: true })
  return maloteIn(fileURLToPath(new URL('..', import.meta.url)), { DATABASE_URL: url })
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

    const malote = await maloteAs('operator')

    const explained = await malote('dead-letters', 'replay', known, old, '--explain', '--json')
    const refused = await malote('dead-letters', 'replay', known, old)
    const looked = await malote('doctor', '--as', 'operator')
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
  })
})

describe('malote purge', () => {
  it('forgets old proofs of the inbox and expired keys, keeps the others, and notes both', async () => {
    const malote = await maloteAs('consumer', 'operator')
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
      await malote('purge', '--only', 'inbox', '--older-than', '14', '--yes', '--reason', 'policy'),
      await malote('purge', '--only', 'keys', '--yes', '--json'),
    ]

    expect(inbox).toMatchObject({ code: 0, stdout: 'purged 1\n', stderr: '' })
    expect(keys).toMatchObject({ code: 0, stdout: expect.stringContaining('"purged":1') })
    expect((await owner.query('select from malote.processed_messages')).rowCount).toBe((before.rowCount ?? 0) - 1)
    expect((await owner.query('select from malote.idempotency_keys')).rowCount).toBe(1)
    expect(await malote('purge', '--only', 'keys', '--older-than', '1')).toMatchObject({ code: 2 })
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
  })

  it('needs what a consumer has and what an operator has: with either alone it forgets nothing and says what is missing', async () => {
    await send(idempotencyOn(owner).atomic({ operation: 'createOrder' }, placeOrder))
    await owner.query(`update malote.idempotency_keys set expires_at = now() - interval '1 minute'`)
    const [consumer, operator] = [await maloteAs('consumer'), await maloteAs('operator')]

    const asConsumer = await consumer('purge', '--only', 'keys', '--yes')
    const asOperator = await Promise.all([
      operator('purge', '--only', 'keys', '--yes'),
      operator('purge', '--only', 'inbox', '--older-than', '14', '--yes'),
    ])

    expect(asConsumer).toMatchObject({ code: 1, stderr: expect.stringContaining('operator_actions') })
    for (const { code, stderr } of asOperator) {
      expect(code).toBe(1)
      expect(stderr).toMatch(/permission denied .*: give this role what `malote grants --role … --for consumer` prints/)
    }
    expect((await owner.query('select from malote.idempotency_keys')).rowCount).toBe(1)
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
  })
})
