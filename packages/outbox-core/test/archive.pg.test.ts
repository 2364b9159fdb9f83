import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { findMessages, grantStatements } from '../src/index.ts'
import { maintenanceTexts } from '../src/postgres/maintenance.ts'
import { settleTexts } from '../src/postgres/settles.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, type RelayBench } from './relay-bench.ts'
import { createRetentionBench, type RetentionBench } from './retention-bench.ts'

let retention: RetentionBench
let bench: RelayBench

beforeAll(async () => {
  retention = await createRetentionBench(inject('postgresUrl'))
  bench = retention.bench
})
afterEach(() => retention.reset())
afterAll(() => retention.close())

/** A row of the archive, published so many days ago. */
const archivedDaysAgo = (days: number, id = '0199bf2e-0000-7000-8000-000000000001'): Promise<unknown> =>
  bench.pool.query(
    `insert into malote.archived_messages (published_at, seq, id, topic, type, content_type, created_at, attempts, payload)
     values (now() - $1::int * interval '1 day', 1, $2, 'orders', 't', 'application/json', now(), 0, '{}')`,
    [days, id],
  )

const partitionOf = async (daysAgo: number): Promise<string> => {
  const { rows } = await bench.pool.query(
    `select to_char(day, 'YYYYMMDD') as name, day::text as first, (day + 1)::text as last
     from (select (now() at time zone 'UTC')::date - $1::int as day) as d`,
    [daysAgo],
  )
  const { name, first, last } = rows[0]
  await bench.pool.query(
    `create table malote.archived_messages_${name} partition of malote.archived_messages
     for values from ('${first} 00:00+00') to ('${last} 00:00+00')`,
  )
  return `archived_messages_${name}`
}

const emptied = (): Promise<void> => eventually(async () => expect(await bench.count('messages')).toBe(0))

describe('the archive', () => {
  it('holds what a topic keeps, whole and once, and of other topics nothing', async () => {
    const { relay: started, broker } = retention.relay({
      afterPublish: (topic) => (topic === 'orders' ? 'archive' : 'delete'),
    })
    broker.failWith(({ attempt }) => (attempt === 1 ? { kind: 'retryable', code: 'BUSY', message: 'later' } : null))
    const [id] = await bench.add(
      aMessage({ orderingKey: 'a', headers: { h: '1' } }),
      aMessage({ payload: new Uint8Array([1, 2]), contentType: 'application/octet-stream' }),
      aMessage({ topic: 'bills' }),
    )
    started.start()
    await emptied()

    const { rows } = await bench.pool.query('select * from malote.archived_messages order by seq')
    expect(rows).toMatchObject([
      { id, topic: 'orders', ordering_key: 'a', payload: '{"amount":1000}', headers: { h: '1' }, attempts: 1 },
      { topic: 'orders', payload: null, payload_binary: Buffer.from([1, 2]) },
    ])
    expect(await bench.count('archived_messages_default')).toBe(0)
    expect(await retention.partitions()).toHaveLength(8)
  })

  it('is searched by id, by key and by time, and only when asked for', async () => {
    const { relay: started } = retention.relay({ afterPublish: 'archive' })
    const key = 'k'.repeat(255)
    const [id] = await bench.add(aMessage({ orderingKey: key }), aMessage({ orderingKey: 'b' }))
    started.start()
    await emptied()
    const find = (filter: object): Promise<readonly string[]> =>
      findMessages(bench.as.reader, filter).then((found) => found.map((message) => message.id))

    expect(await findMessages(bench.as.reader, { id: String(id) })).toMatchObject([
      { state: 'archived', waitsFor: 'nothing: it is published', since: expect.any(Date) },
    ])
    expect(await find({ state: 'archived', orderingKey: key })).toEqual([id])
    expect(await find({ state: 'archived', since: new Date(Date.now() - 3_600_000) })).toHaveLength(2)
    expect(await find({ state: 'archived', until: new Date(Date.now() - 3_600_000) })).toEqual([])
    expect(await find({ orderingKey: key })).toEqual([])
  })

  it('uses its indexes for the search by id and by key', async () => {
    await partitionOf(3)
    await bench.pool.query(
      `insert into malote.archived_messages (published_at, seq, id, topic, type, ordering_key, content_type, created_at, attempts)
       select now() - interval '3 days', n, gen_random_uuid(), 'orders', 't', 'k' || n, 'text/plain', now(), 0
       from generate_series(1, 5000) as n`,
    )
    await bench.pool.query('analyze malote.archived_messages')
    const { findMessagesStatement } = await import('../src/postgres/find-messages-statement.ts')
    const plan = async (...[id, key]: (string | null)[]): Promise<string> => {
      const values = [id, null, key, 'archived', 10, null, null, null, null, null]
      const { rows } = await bench.pool.query(`explain ${findMessagesStatement('malote', true)}`, values)
      return rows.map((row) => String(row['QUERY PLAN'])).join('\n')
    }

    expect(await plan('0199bf2e-0000-7000-8000-000000000001', null)).toMatch(/Index.*archived_messages_\d{8}_id_idx/)
    expect(await plan(null, 'k17')).toMatch(/Index.*archived_messages_\d{8}_hashtextextended_idx/)
  })

  it('takes what is published on a day without a partition, and makes none for that day any more', async () => {
    await archivedDaysAgo(0)

    const { rows } = await bench.pool.query(maintenanceTexts('malote').prepareArchive, [1])

    expect(rows[0]?.made).toHaveLength(1) // Tomorrow's.
    expect(await bench.count('archived_messages_default')).toBe(1)
  })

  it('loses its old days and the old rows without a day, and nothing younger', async () => {
    const old = await partitionOf(3)
    const young = await partitionOf(2)
    await archivedDaysAgo(3)
    await archivedDaysAgo(2)
    for (let n = 0; n < 250; n++) await archivedDaysAgo(9, `0199bf2e-0000-7000-8000-${String(n).padStart(12, '0')}`)
    const { relay: started, observer } = retention.relay({ afterPublish: 'archive', maintenance: { archiveDays: 2 } })
    started.start()

    const done = await observer.waitFor('maintenance.done')

    expect(done).toMatchObject({ task: 'archive', rows: 250 })
    expect(await retention.partitions()).toContain(young)
    expect(await retention.partitions()).not.toContain(old)
    expect(await bench.count('archived_messages')).toBe(1)
  })

  it('is never waited for: while somebody reads an old day, messages go on', async () => {
    await partitionOf(9)
    const reader = await bench.pool.connect()
    await reader.query('begin; select count(*) from malote.archived_messages')
    const {
      relay: started,
      observer,
      broker,
    } = retention.relay({ afterPublish: 'archive', maintenance: { archiveDays: 2 } })
    started.start()

    const failed = await observer.waitFor('maintenance.failed')
    await bench.add(aMessage())
    await broker.received(1)
    await emptied()

    expect(failed).toMatchObject({ task: 'archive', error: { code: '55P03' } })
    expect(observer.events.map(({ type }) => type)).not.toContain('lanes.lost')
    await reader.query('rollback')
    reader.release()
  })

  it('that a relay may not write is told before anything is published', async () => {
    await bench.pool.query(`revoke insert on malote.archived_messages from ${retention.role}`)
    const { relay: started, broker } = retention.relay({ afterPublish: 'archive' })
    await bench.add(aMessage())

    await expect(started.runOnce()).rejects.toMatchObject({ code: '42501' })
    expect(broker.accepted).toEqual([])
    await bench.pool.query(grantStatements(retention.role, 'relay').join('\n'))
  })

  it('that is not there is told before anything is published', async () => {
    await bench.pool.query('alter table malote.archived_messages rename to elsewhere')
    const { relay: started } = bench.relay({ afterPublish: 'archive' })

    await expect(started.runOnce()).rejects.toMatchObject({ code: 'SCHEMA_MISSING' })
    await bench.pool.query('alter table malote.elsewhere rename to archived_messages')
  })

  it('keeps a row of which the delete failed in its place, and archives none twice', async () => {
    await bench.add(aMessage({ orderingKey: 'a' }))
    const [row] = (await bench.pool.query('select lane, seq, id from malote.messages')).rows
    const { archivePublished } = settleTexts('malote', false)
    const values = [[row.lane], [row.seq], [row.id]]
    await bench.pool.query('alter table malote.archived_messages add constraint refuses check (seq < 0)')
    await expect(bench.pool.query(archivePublished, values)).rejects.toMatchObject({ code: '23514' })
    expect(await bench.count('messages')).toBe(1)
    await bench.pool.query('alter table malote.archived_messages drop constraint refuses')

    expect((await bench.pool.query(archivePublished, values)).rows).toEqual([{ done: 1 }])
    expect((await bench.pool.query(archivePublished, values)).rows).toEqual([{ done: 0 }])
    expect(await bench.count('archived_messages')).toBe(1)
  })

  it('holds every message once, though the sessions of its relays are ended in the middle of everything', async () => {
    const options = { afterPublish: 'archive', pollIntervalMs: 20 } as const
    const relays = [retention.relay(options), retention.relay(options)]
    for (const one of relays) one.relay.start()
    const added: string[] = []
    const accepted = (): number => relays.reduce((sum, { broker }) => sum + broker.accepted.length, 0)
    for (let round = 0; round < 12; round++) {
      const before = accepted()
      added.push(
        ...(await bench.add(...Array.from({ length: 60 }, (_, n) => aMessage({ orderingKey: `k${String(n)}` })))),
      )
      await eventually(() => Promise.resolve(expect(accepted()).toBeGreaterThan(before)))
      await bench.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where usename = $1 order by state, query_start desc limit 2`,
        [retention.role],
      )
    }
    await emptied()

    const { rows } = await bench.pool.query('select id from malote.archived_messages')
    expect(rows.map(({ id }) => String(id)).sort()).toEqual(added.sort())
    const published = new Set(relays.flatMap(({ broker }) => broker.accepted.map(({ id }) => id)))
    expect(added.filter((id) => !published.has(id))).toEqual([])
    expect(relays.flatMap(({ observer }) => observer.events).map(({ type }) => type)).toContain('lanes.lost')
  })

  it('gives nobody a right who was not given it', async () => {
    const { rows } = await bench.pool.query(
      `select proname from pg_proc join pg_namespace as n on n.oid = pronamespace
       where nspname = 'malote' and prosecdef and (proacl is null or exists (
         select from aclexplode(proacl) where grantee = 0))`,
    )
    expect(rows).toEqual([])
  })
})
