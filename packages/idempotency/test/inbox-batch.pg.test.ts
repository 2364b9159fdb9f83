import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox, createKafkaPositions, createVersionGuard, type InboxEvent } from '../src/index.ts'
import { gate, isWaiting } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query('create table effects (name text not null)')
})
beforeEach(() =>
  database.truncate('effects, malote.processed_messages, malote.entity_versions, malote.consumer_offsets'),
)
afterAll(() => database.drop())

const inbox = createInbox()
const consumer = 'balance'
const messages = (...ids: string[]) => ids.map((messageId) => ({ messageId }))
const effects = async () => (await pool.query('select name from effects')).rows.map((row) => row.name as string)
const effect = async (tx: pg.ClientBase, name: string) =>
  void (await tx.query('insert into effects values ($1)', [name]))
const applyAll = async (tx: pg.ClientBase, fresh: readonly { messageId: string }[]) => {
  for (const { messageId } of fresh) {
    if (messageId.includes('poison')) throw new Error('poison')
    await effect(tx, messageId)
  }
}

async function inTransaction<Result>(work: (tx: pg.PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

interface OverlappingBatches {
  /** Three ids. */
  readonly small: readonly string[]
  /** The one of them that is in their middle, sorted or not. */
  readonly middle: string
  /** The other two, among many more. */
  readonly large: readonly string[]
}

/**
 * Batches that PostgreSQL groups in opposite orders when nothing sorts them: its hash tables give their entries in an order
 * that depends on their size, and where two collide on the order they came in.
 */
async function batchesGroupedInOppositeOrder(): Promise<OverlappingBatches> {
  const grouped = async (ids: readonly string[]): Promise<string[]> => {
    const text = 'select id, min(id::text) from unnest($1::uuid[]) as arrived (id) group by id'
    return (await pool.query(text, [ids])).rows.map((row) => row.id as string)
  }
  for (let draw = 0; draw < 1_000; draw++) {
    const small = [randomUUID(), randomUUID(), randomUUID()]
    const [first, middle, last] = (await grouped(small)) as [string, string, string]
    const large = [first, last, ...Array.from({ length: 200 }, () => randomUUID())]
    const order = await grouped(large)
    if (middle === small.toSorted()[1] && order.indexOf(last) < order.indexOf(first)) return { small, middle, large }
  }
  throw new Error('PostgreSQL groups these batches in one order: they can no longer show what sorting is for')
}

describe('a batch', () => {
  it('32. with repetitions and known messages applies exactly the new ones, in the order given', async () => {
    await inbox.transactBatch(pool, consumer, messages('known'), applyAll)

    const results = await inTransaction((tx) =>
      inbox.onceBatch(tx, consumer, messages('z', 'known', 'a', 'z'), (fresh) => applyAll(tx, fresh)),
    )

    expect(results).toEqual(['processed', 'duplicate', 'processed', 'duplicate'])
    expect(await effects()).toEqual(['known', 'z', 'a'])
  })

  it('32. a poison message fails alone; its neighbours are applied once', async () => {
    const results = await inbox.transactBatch(pool, consumer, messages('a', 'poison', 'b'), applyAll)

    expect(results).toEqual(['processed', { failed: new Error('poison') }, 'processed'])
    expect(await effects()).toEqual(['a', 'b'])
    expect(await inbox.transactBatch(pool, consumer, messages('poison', 'b'), applyAll)).toEqual([
      { failed: new Error('poison') },
      'duplicate',
    ])
  })

  it('applies nothing of a stream behind a message that failed, and other streams whole', async () => {
    const of = (stream: string, ...ids: string[]) => ids.map((messageId) => ({ messageId, stream }))
    const mixed = [
      ...of('A', 'a1', 'a2-poison'),
      ...of('B', 'b1'),
      ...of('A', 'a3'),
      ...of('B', 'b2'),
      ...messages('c'),
    ]

    const results = await inbox.transactBatch(pool, consumer, mixed, applyAll)

    expect(results).toMatchObject([
      'processed',
      { failed: new Error('poison') },
      'processed',
      { failed: { code: 'PREDECESSOR_FAILED', message: expect.stringContaining('a3') as string } },
      'processed',
      'processed',
    ])
    expect(await effects()).toEqual(['a1', 'b1', 'b2', 'c'])
  })

  it('goes on with a stream behind a message that was applied before', async () => {
    await inbox.transactBatch(pool, consumer, messages('a1'), applyAll)
    const stream = messages('a1', 'a2', 'poison', 'a4').map((message) => ({ ...message, stream: 'A' }))

    const results = await inbox.transactBatch(pool, consumer, stream, applyAll)

    expect(results).toMatchObject(['duplicate', 'processed', {}, { failed: { code: 'PREDECESSOR_FAILED' } }])
    expect(await effects()).toEqual(['a1', 'a2'])
  })

  it('does not call its handler when nothing is new', async () => {
    await inbox.transactBatch(pool, consumer, messages('a'), applyAll)

    expect(await inbox.transactBatch(pool, consumer, messages('a'), () => Promise.reject(new Error('called')))).toEqual(
      ['duplicate'],
    )
  })

  it('33. claims its messages in one order, whatever order they come in', async () => {
    const ids = Array.from({ length: 200 }, () => randomUUID())

    await inbox.transactBatch(pool, consumer, messages(...ids), () => Promise.resolve())

    const { rows } = await database.owner.query('select message_id from malote.processed_messages order by ctid')
    const claimed = rows.map((row) => row.message_id as string)
    expect(claimed).toHaveLength(ids.length)
    expect(claimed).toEqual(claimed.toSorted())
  })

  it('33. two batches that overlap cannot deadlock, however PostgreSQL happens to group their ids', async () => {
    const { small, middle, large } = await batchesGroupedInOppositeOrder()
    const patient = createInbox({ waitMs: 30_000 })
    const holder = await database.client()
    await holder.query('begin')
    await patient.once(holder, { consumer, messageId: middle }, () => Promise.resolve())

    // The small batch is stopped in its middle, the large one behind what the small one has taken by then.
    const first = inTransaction((tx) => patient.onceBatch(tx, consumer, messages(...small), () => Promise.resolve()))
    await isWaiting(pool)
    const second = inTransaction((tx) => patient.onceBatch(tx, consumer, messages(...large), () => Promise.resolve()))
    await isWaiting(pool, 2)
    await holder.query('rollback')

    expect(await Promise.allSettled([first, second])).toEqual([
      { status: 'fulfilled', value: small.map(() => 'processed') },
      { status: 'fulfilled', value: large.map((id) => (small.includes(id) ? 'duplicate' : 'processed')) },
    ])
  })

  it('33. many overlapping batches in random order apply each message once', async () => {
    const ids = Array.from({ length: 40 }, (_, n) => `message-${String(n)}`)
    const shuffled = () =>
      ids
        .map((id) => ({ id, at: Math.random() }))
        .sort((a, b) => a.at - b.at)
        .map(({ id }) => id)

    await Promise.all(
      Array.from({ length: 8 }, () => inbox.transactBatch(pool, consumer, messages(...shuffled()), applyAll)),
    )

    expect((await effects()).sort()).toEqual(ids.toSorted())
  })

  it('with "defer" a batch with one message in flight fails as a whole and its others apply alone', async () => {
    const deferring = createInbox({ inFlight: 'defer' })
    const holder = await database.client()
    await holder.query('begin')
    await deferring.once(holder, { consumer, messageId: 'held' }, () => effect(holder, 'held'))

    const results = await deferring.transactBatch(pool, consumer, messages('a', 'held', 'b'), applyAll)
    await holder.query('rollback')

    expect(results).toMatchObject(['processed', { failed: { code: 'IN_FLIGHT' } }, 'processed'])
    expect(await effects()).toEqual(['a', 'b'])
  })

  it('reports how late each duplicate came', async () => {
    const events: InboxEvent[] = []
    const seeing = createInbox({ onEvent: (event) => events.push(event) })
    await seeing.transactBatch(pool, consumer, messages('a', 'b'), applyAll)
    await pool.query(`update malote.processed_messages set processed_at = now() - interval '1 hour'`)

    await seeing.transactBatch(pool, consumer, messages('a', 'c'), applyAll)

    const types = events.map(({ type }) => type)
    expect(types).toEqual(['inbox.processed', 'inbox.processed', 'inbox.duplicate', 'inbox.processed'])
    expect(events[2]).toMatchObject({ ageMs: expect.closeTo(3_600_000, -4) as number })
  })
})

describe('a version guard', () => {
  const guard = createVersionGuard()
  const apply = (version: number, order: 'latest' | 'next') =>
    inTransaction((tx) =>
      guard.apply(tx, { consumer, entity: 'account-1', version, order }, () => effect(tx, `v${String(version)}`)),
    )

  it('40. v3, v1, v2 leave v3 when only the latest counts', async () => {
    expect([
      await apply(3, 'latest'),
      await apply(1, 'latest'),
      await apply(2, 'latest'),
      await apply(4, 'latest'),
    ]).toEqual(['processed', 'outdated', 'outdated', 'processed'])
    expect(await effects()).toEqual(['v3', 'v4'])
  })

  it('40. v3 is deferred until v2 has come when every version counts', async () => {
    await expect(apply(3, 'next')).rejects.toMatchObject({ code: 'VERSION_GAP' })
    expect(await apply(1, 'next')).toBe('processed')
    await expect(apply(3, 'next')).rejects.toMatchObject({ code: 'VERSION_GAP' })
    expect([await apply(2, 'next'), await apply(3, 'next'), await apply(2, 'next')]).toEqual([
      'processed',
      'processed',
      'outdated',
    ])
    expect(await effects()).toEqual(['v1', 'v2', 'v3'])
  })

  it('40. two transactions with the same next version: one applies, the other finds it outdated', async () => {
    await apply(1, 'next')

    expect((await Promise.all([apply(2, 'next'), apply(2, 'next')])).sort()).toEqual(['outdated', 'processed'])
    expect(await effects()).toEqual(['v1', 'v2'])
  })
})

describe('Kafka positions', () => {
  const positions = createKafkaPositions()
  const held = (generation: number) => ({ group: 'g', topic: 't', partition: 0, generation })
  const apply = (generation: number, offset: number) =>
    inTransaction((tx) =>
      positions.once(tx, { ...held(generation), offset: String(offset) }, () => effect(tx, String(offset))),
    )
  const assign = (generation: number) => inTransaction((tx) => positions.assign(tx, held(generation)))

  it('apply an offset once, over gaps, and say where to go on', async () => {
    expect(await assign(1)).toBeNull()
    expect([await apply(1, 0), await apply(1, 5), await apply(1, 5), await apply(1, 0)]).toEqual([
      'processed',
      'processed',
      'duplicate',
      'duplicate',
    ])
    expect(await assign(2)).toBe(6n)
    expect(await effects()).toEqual(['0', '5'])
  })

  it('39. a member that lost the partition in a rebalance cannot write; nothing is skipped or doubled', async () => {
    await assign(1)
    await apply(1, 0)
    const [entered, opened] = [gate(), gate()]
    const slow = inTransaction(async (tx) => {
      entered.open()
      await opened.passed
      return positions.once(tx, { ...held(1), offset: 1n }, () => effect(tx, 'slow'))
    })
    await entered.passed
    expect(await assign(2)).toBe(1n)
    opened.open()

    await expect(slow).rejects.toMatchObject({ code: 'STALE_GENERATION' })
    expect(await apply(2, 1)).toBe('processed')
    await expect(assign(1)).rejects.toMatchObject({ code: 'STALE_GENERATION' })
    expect(await effects()).toEqual(['0', '1'])
  })

  it('refuse an offset of a partition that was never assigned, instead of calling it a duplicate', async () => {
    await expect(apply(1, 0)).rejects.toMatchObject({ code: 'STALE_GENERATION' })
    await assign(1)
    await expect(apply(2, 0)).rejects.toMatchObject({ code: 'STALE_GENERATION' })
  })
})
