import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { diagnose, type Finding, grantStatements, migrate, outboxStatus, type RelayOptions } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from './relay-bench.ts'

let bench: RelayBench
let operator: pg.Client
const role = `reader_${String(process.pid)}_${String(Date.now())}`

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
  await bench.pool.query(`create role ${role} login password 'reader'`)
  await bench.pool.query(grantStatements(role, 'reader').join('\n'))
})
beforeEach(async () => {
  const url = Object.assign(new URL(bench.database.url), { username: role, password: 'reader' }).toString()
  operator = new pg.Client({ connectionString: url })
  await operator.connect()
})
afterEach(async () => {
  await operator.end()
  await bench.reset()
  await bench.pool.query('truncate malote.flow')
})
afterAll(async () => {
  await bench.pool.query(`drop owned by ${role}; drop role ${role}`)
  await bench.database.drop()
})

/** Looks as the documented role, not as the owner. */
const look = (): Promise<readonly Finding[]> => diagnose(operator, { purpose: 'reader' })
const codes = (findings: readonly Finding[], level: Finding['level']): string[] => [
  ...new Set(findings.filter((finding) => finding.level === level).map(({ code }) => code)),
]

/** 50 messages, three hours old, and a relay at them. */
async function threeHours(options: Partial<RelayOptions>): Promise<StartedRelay> {
  await bench.add(...Array.from({ length: 50 }, (_, n) => aMessage({ orderingKey: `key-${String(n % 5)}` })))
  await bench.pool.query(`update malote.messages set created_at = now() - interval '3 hours'`)
  const started = bench.relay(options)
  return started
}

describe('three hours without a message published are told by status and doctor', () => {
  it('while the broker is down', async () => {
    const started = await threeHours({})
    started.broker.goDown()
    started.relay.start()
    await started.observer.waitFor('outage.started')
    const findings = await eventually(async () => {
      const found = await look()
      expect(codes(found, 'problem')).toEqual(['BROKER_UNAVAILABLE', 'OVERDUE'])
      return found
    })

    expect(findings.find(({ code }) => code === 'BROKER_UNAVAILABLE')).toMatchObject({
      since: expect.stringMatching(/^\d{4}-/),
      mend: expect.stringContaining('bring the broker back'),
    })
    expect(findings.find(({ code }) => code === 'OVERDUE')?.detail).toContain('due for 3 h')
    started.broker.goUp()
    await eventually(async () => expect(codes(await look(), 'problem')).toEqual([]))
  })

  it('while every publish fails', async () => {
    const { relay, broker, observer } = await threeHours({ backoff: () => 600_000 })
    broker.failWith(() => ({ kind: 'retryable', code: 'THROTTLED', message: 'slow down, please' }))
    relay.start()
    await observer.waitFor('message.retry-scheduled')
    await eventually(async () => expect((await outboxStatus(operator)).waiting).toBe(5)) // The first of each key.

    const [status, findings] = [await outboxStatus(operator), await look()]

    expect(status.oldestUnpublishedMs).toBeGreaterThan(10_000_000)
    expect(status.retries).toMatchObject([{ topic: 'orders', code: 'THROTTLED', lastWords: 'slow down, please' }])
    expect(codes(findings, 'problem')).toEqual(['OVERDUE', 'PUBLISHING_FAILS'])
    expect(findings.find(({ code }) => code === 'PUBLISHING_FAILS')?.detail).toContain('slow down, please')
  })

  it('when the only relay was killed', async () => {
    await threeHours({})
    const id = '00000000-0000-4000-8000-000000000001'
    // What a killed process leaves: its lanes, a lease that still holds for hours, and a presence lock that nobody holds.
    await bench.pool.query(
      `insert into malote.relays (id, name, lease_until, presence_key) values ($1, 'killed', now() + interval '3 hours', 77)`,
      [id],
    )
    await bench.pool.query('update malote.lanes set owner = $1', [id])

    expect(await outboxStatus(operator)).toMatchObject({ lanesWithoutRelay: 64, relays: [{ isAlive: false }] })
    expect(codes(await look(), 'problem')).toEqual(['RELAY_DEAD', 'OVERDUE'])
  })

  it('when no relay was ever started', async () => {
    await threeHours({})

    expect(codes(await look(), 'problem')).toEqual(['NO_RELAY', 'OVERDUE'])
  })

  it('when nobody fetched what was scheduled', async () => {
    await bench.add(aMessage({ delayMs: 3_600_000 }))
    expect((await outboxStatus(operator)).oldestUnpublishedMs).toBeNull()
    await bench.pool.query(`update malote.scheduled_messages set available_at = now() - interval '3 hours'`)

    expect((await outboxStatus(operator)).topics).toMatchObject([{ overdueScheduled: 1 }])
    expect(codes(await look(), 'problem')).toEqual(['NO_RELAY', 'OVERDUE'])
  })
})

describe('the status', () => {
  it('tells an outbox that nobody writes to from one whose messages are all published', async () => {
    expect(await outboxStatus(operator)).toMatchObject({ addedTotal: 0, lastAddedAt: null, lastPublishedAt: null })
    expect(codes(await look(), 'warning')).toContain('NEVER_USED')
    const { relay, broker } = bench.relay()
    await bench.add(aMessage(), aMessage({ topic: 'bills' }))
    relay.start()
    await broker.received(2)
    await relay.stop()

    expect(await outboxStatus(operator)).toMatchObject({
      addedTotal: 2,
      publishedTotal: 2,
      lastAddedAt: expect.stringMatching(/Z$/),
      lastPublishedAt: expect.stringMatching(/Z$/),
      topics: [
        { topic: 'bills', published: 1 },
        { topic: 'orders', published: 1 },
      ],
    })
  })
})

describe('the doctor finds', () => {
  const problemOf = async (break_: string, mend: string): Promise<Finding[]> => {
    await bench.pool.query(break_)
    const findings = (await look()).filter(({ level }) => level !== 'ok')
    await bench.pool.query(mend)
    return findings
  }

  it.each([
    [
      'SEQUENCE_CACHE',
      'alter sequence malote.messages_seq_seq cache 9',
      'alter sequence malote.messages_seq_seq cache 1',
    ],
    [
      'AUTOVACUUM_OFF',
      'alter table malote.messages set (autovacuum_enabled = off)',
      'alter table malote.messages reset (autovacuum_enabled)',
    ],
    [
      'INDEX_INVALID',
      `update pg_index set indisvalid = false where indexrelid = 'malote.messages_waiting'::regclass`,
      `update pg_index set indisvalid = true where indexrelid = 'malote.messages_waiting'::regclass`,
    ],
    [
      'GRANTS_MISSING',
      `revoke select on sequence malote.messages_seq_seq from ${role}`,
      `grant select on sequence malote.messages_seq_seq to ${role}`,
    ],
    [
      'SCHEMA_DRIFTED',
      `update malote.migrations set checksum = checksum || 'x'`,
      `update malote.migrations set checksum = left(checksum, 64)`,
    ],
    [
      'SCHEMA_NEWER',
      `insert into malote.migrations values ('outbox', '9999_future.sql', 'x')`,
      `delete from malote.migrations where name = '9999_future.sql'`,
    ],
    [
      'SCHEMA_BY_ANOTHER_TOOL',
      'alter table malote.migrations rename to m',
      'alter table malote.m rename to migrations',
    ],
  ])('%s, and says what mends it', async (code, break_, mend) => {
    const findings = await problemOf(break_, mend)

    expect(findings.find((finding) => finding.code === code)?.mend).toBeTruthy()
    expect((await look()).map((finding) => finding.code)).not.toContain(code)
  })

  it('SCHEMA_MISSING and SCHEMA_OLDER', async () => {
    expect(await diagnose(operator, { schema: 'nowhere' })).toMatchObject([
      { code: 'SCHEMA_MISSING', mend: '`malote migrate --schema nowhere`' },
    ])
    await bench.pool.query(`create table malote.kept as select * from malote.migrations where name like '0004%'`)
    await bench.pool.query(`delete from malote.migrations where name like '0004%'`)
    expect(codes(await look(), 'problem')).toEqual(['SCHEMA_OLDER'])
    await bench.pool.query('insert into malote.migrations select * from malote.kept; drop table malote.kept')
  })

  it('dead letters and held keys, by topic, reason and words', async () => {
    const { relay, broker, observer } = bench.relay({ maxAttempts: 1 })
    await bench.add(aMessage({ orderingKey: 'k' }), aMessage({ orderingKey: 'k' }))
    broker.failWith(() => ({ kind: 'permanent', code: 'TOO_LARGE', message: 'over the limit' }))
    relay.start()
    await observer.waitFor('key.held')

    const findings = await look()

    expect(codes(findings, 'warning')).toEqual(expect.arrayContaining(['DEAD_LETTERS', 'HELD_KEYS']))
    expect(findings.find(({ code }) => code === 'DEAD_LETTERS')?.detail).toContain('over the limit')
    expect((await outboxStatus(operator)).held).toBe(1)
  })

  it('says what its role may not see, and looks at the rest', async () => {
    await bench.pool.query(`revoke select on malote.dead_letters from ${role}`)
    const findings = await look()
    await bench.pool.query(`grant select on malote.dead_letters to ${role}`)

    expect(codes(findings, 'unseen')).toEqual(['UNSEEN'])
    expect(findings.map(({ check }) => check)).toContain('vacuum')
  })
})

it('migrates without any rights when nothing is to be applied', async () => {
  expect(await migrate(operator)).toEqual([])
})
