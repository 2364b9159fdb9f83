import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox, type InboxEvent, maintainInbox, migrateIdempotency } from '../src/index.ts'
import { isWaiting } from './gates.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
})
beforeEach(async () => {
  await pool.query(
    'drop schema if exists malote cascade; drop table if exists effects; create table effects (name text)',
  )
  await migrateIdempotency(pool)
})
afterAll(() => database.drop())

const dayMs = 86_400_000
const daysAgo = (days: number) => new Date(Date.now() - days * dayMs)
const aMessage = (change = {}) => ({ consumer: 'balance', messageId: 'order-1', occurredAt: daysAgo(0), ...change })
const effect = async (tx: pg.ClientBase) => void (await tx.query(`insert into effects values ('effect')`))
const countEffects = async () => Number((await pool.query('select count(*) from effects')).rows[0].count)
const partitions = async () =>
  (
    await pool.query(
      `select relname from pg_inherits join pg_class on pg_class.oid = inhrelid where relkind = 'r' order by relname`,
    )
  ).rows.map((row) => row.relname as string)

describe('the simple profile', () => {
  const inbox = createInbox()

  it('35. a message older than what was purged is stale, not applied a second time', async () => {
    const old = aMessage({ occurredAt: daysAgo(20) })
    await inbox.transact(pool, old, effect)
    await pool.query(`update malote.processed_messages set processed_at = now() - interval '20 days'`)

    const report = await maintainInbox(pool)

    expect(report).toMatchObject({ rows: 1, complete: true })
    await expect(inbox.transact(pool, old, effect)).rejects.toMatchObject({ code: 'STALE_MESSAGE' })
    expect(await countEffects()).toBe(1)
  })

  it('tells how many rows it deleted', async () => {
    const events: InboxEvent[] = []
    await inbox.transact(pool, aMessage({ occurredAt: daysAgo(20) }), effect)
    await pool.query(`update malote.processed_messages set processed_at = now() - interval '20 days'`)

    await maintainInbox(pool, { onEvent: (event) => events.push(event) })

    expect(events).toEqual([{ type: 'inbox.purged', rows: 1 }])
  })

  it('an onEvent that throws changes nothing', async () => {
    const onEvent = () => {
      throw new Error('the meter is gone')
    }

    expect(await maintainInbox(pool, { onEvent })).toMatchObject({ rows: 0, complete: true })
  })

  it('keeps what may still come back, and never lowers the watermark', async () => {
    await inbox.transact(pool, aMessage(), effect)

    const short = await maintainInbox(pool, { keepDays: 3 })
    const long = await maintainInbox(pool, { keepDays: 30 })

    expect(long.refusedBefore).toEqual(short.refusedBefore)
    expect(await inbox.transact(pool, aMessage(), effect)).toBe('duplicate')
  })

  it('purges in batches, from several replicas at once', async () => {
    await pool.query(`insert into malote.inbox_consumers (name) values ('balance')`)
    await pool.query(`insert into malote.processed_messages (consumer_id, message_id, processed_at)
      select 1, gen_random_uuid(), now() - interval '20 days' from generate_series(1, 500)`)

    const reports = await Promise.all([1, 2, 3].map(() => maintainInbox(pool, { batchSize: 50 })))

    expect(reports.reduce((sum, { rows }) => sum + rows, 0)).toBe(500)
  })

  it('deletes nothing while a transaction may still judge by the old watermark', async () => {
    await inbox.transact(pool, aMessage(), effect)
    await pool.query(`update malote.processed_messages set processed_at = now() - interval '20 days'`)
    const consumer = await database.client()
    await consumer.query('begin')
    await inbox.once(consumer, aMessage({ messageId: 'other' }), () => Promise.resolve())

    expect(await maintainInbox(pool, { lockTimeoutMs: 100 })).toMatchObject({ rows: 0, complete: false })
    await consumer.query('commit')
    expect(await maintainInbox(pool)).toMatchObject({ rows: 1, complete: true })
  })
})

describe('the partitioned profile', () => {
  const inbox = createInbox({ profile: 'partitioned' })

  it('34. a redelivery on another day of the consumer is still a duplicate', async () => {
    await maintainInbox(pool, { profile: 'partitioned' })
    const message = aMessage({ occurredAt: daysAgo(2) })

    expect(await inbox.transact(pool, message, effect)).toBe('processed')
    await pool.query(`update malote.processed_messages_by_day set processed_at = processed_at - interval '1 day'`)
    expect(await inbox.transact(pool, message, effect)).toBe('duplicate')
    expect((await pool.query('select event_day::text from malote.processed_messages_by_day')).rows).toEqual([
      { event_day: daysAgo(2).toISOString().slice(0, 10) },
    ])
  })

  it('36. partitions of the days to come exist, and one of the past is dropped with its rows', async () => {
    await maintainInbox(pool, { profile: 'partitioned', keepDays: 5, aheadDays: 3 })
    expect(await partitions()).toHaveLength(9)
    const old = aMessage({ occurredAt: daysAgo(4) })
    await inbox.transact(pool, old, effect)

    const report = await maintainInbox(pool, { profile: 'partitioned', keepDays: 2, aheadDays: 4 })

    expect([report.created.length, report.dropped.length, report.complete]).toEqual([1, 3, true])
    await expect(inbox.transact(pool, old, effect)).rejects.toMatchObject({ code: 'STALE_MESSAGE' })
    expect(await countEffects()).toBe(1)
  })

  it('35. a message of a day without a partition is stale, whatever the watermark says', async () => {
    await maintainInbox(pool, { profile: 'partitioned', aheadDays: 1 })

    await expect(inbox.transact(pool, aMessage({ occurredAt: daysAgo(-30) }), effect)).rejects.toMatchObject({
      code: 'STALE_MESSAGE',
    })
    await expect(inbox.transact(pool, aMessage({ occurredAt: undefined }), effect)).rejects.toMatchObject({
      code: 'INVALID_MESSAGE',
    })
  })

  it('36. dropping gives way to a consumer that holds the partition, and is done by the next run', async () => {
    await maintainInbox(pool, { profile: 'partitioned', keepDays: 5 })
    await inbox.transact(pool, aMessage({ messageId: 'before' }), effect)
    const consumer = await database.client()
    await consumer.query('begin')
    await inbox.once(consumer, aMessage({ occurredAt: daysAgo(4) }), () => Promise.resolve())

    const blocked = await maintainInbox(pool, { profile: 'partitioned', keepDays: 2, lockTimeoutMs: 50 })
    expect(await inbox.transact(pool, aMessage({ messageId: 'meanwhile' }), effect)).toBe('processed')
    await consumer.query('commit')
    const free = await maintainInbox(pool, { profile: 'partitioned', keepDays: 2 })

    expect([blocked.complete, free.complete]).toEqual([false, true])
    expect(blocked.dropped.length + free.dropped.length).toBe(3)
  })

  it('36. creating partitions does not wait for consumers, nor they for it', async () => {
    await maintainInbox(pool, { profile: 'partitioned', aheadDays: 1 })
    const consumer = await database.client()
    await consumer.query('begin')
    await inbox.once(consumer, aMessage(), () => Promise.resolve())

    const report = await maintainInbox(pool, { profile: 'partitioned', aheadDays: 3, lockTimeoutMs: 50 })
    await consumer.query('commit')

    expect([report.created.length, report.complete]).toEqual([2, true])
  })

  it('38. a second consumer that starts when visibility runs out waits, and finds a duplicate', async () => {
    await maintainInbox(pool, { profile: 'partitioned' })
    const slow = await database.client()
    await slow.query('begin')
    await inbox.once(slow, aMessage(), () => effect(slow))

    const second = inbox.transact(pool, aMessage(), effect)
    await isWaiting(pool)
    await slow.query('commit')

    expect(await second).toBe('duplicate')
    expect(await countEffects()).toBe(1)
  })
})
