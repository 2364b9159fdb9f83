import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import {
  createOutbox,
  createRelay,
  grantStatements,
  migrate,
  type NewMessage,
  type Relay,
  type RelayOptions,
} from '../src/index.ts'
import { createManualClock, createMemoryBroker } from '../src/testing/index.ts'

let database: TestDatabase
let pool: pg.Pool
let relayUrl: string

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  relayUrl = await database.urlAs((role) => grantStatements(role, 'relay'))
})
beforeEach(() => database.truncate('malote.messages, malote.scheduled_messages, malote.dead_letters'))
afterAll(() => database.drop())

type Statement = string | { readonly text: string }

/** A pool that writes down every statement it sends, each after `onSend` of it. */
function countingPool(onSend?: (text: string, values?: readonly unknown[]) => Promise<unknown>): {
  pool: pg.Pool
  statements: string[]
  quiet: () => Promise<void>
} {
  const statements: string[] = []
  let underWay = 0
  const counted = database.pool({ connectionString: relayUrl })
  counted.on('connect', (client) => {
    const query = client.query.bind(client) as (...values: unknown[]) => Promise<unknown>
    client.query = (async (...values: unknown[]) => {
      const [statement, parameters] = values as [Statement, readonly unknown[] | undefined]
      const text = typeof statement === 'string' ? statement : statement.text
      statements.push(text)
      underWay++
      try {
        await onSend?.(text, parameters)
        return await query(...values)
      } finally {
        underWay--
      }
    }) as never
  })
  /** Resolves when no statement is under way and none follows from the last one. */
  const quiet = async (): Promise<void> => {
    for (let calm = 0; calm < 3; calm = underWay === 0 ? calm + 1 : 0)
      await new Promise((resolve) => setImmediate(resolve))
  }
  return { pool: counted, statements, quiet }
}

/** A relay that has its lanes, on a clock that goes on only when told, each time until all its statements are through. */
async function startedRelay(
  options: Partial<RelayOptions> = {},
  onSend?: Parameters<typeof countingPool>[0],
): Promise<{
  relay: Relay
  statements: string[]
  pass: (seconds: number) => Promise<void>
}> {
  const clock = createManualClock(Date.now())
  const { pool: counted, statements, quiet } = countingPool(onSend)
  const acquired = Promise.withResolvers<void>()
  const relay = createRelay({
    pool: counted,
    publisher: createMemoryBroker(),
    clock,
    ...options,
    onEvent: ({ type }) => type === 'lanes.acquired' && acquired.resolve(),
  })
  relay.start()
  await acquired.promise
  const pass = async (seconds: number): Promise<void> => {
    for (let step = 0; step < seconds * 10; step++) {
      await clock.advance(100)
      await quiet()
    }
  }
  return { relay, statements, pass }
}

const messages = (count: number): NewMessage[] =>
  Array.from({ length: count }, (_, n) => ({
    topic: 'orders',
    type: 'order.accepted',
    payload: n,
    orderingKey: `account-${String(n % 100)}`,
  }))

/** Statements that `work` sends between BEGIN and COMMIT. */
async function statementsOf(work: (tx: pg.PoolClient) => Promise<unknown>): Promise<string[]> {
  const counting = countingPool()
  const client = await counting.pool.connect()
  await client.query('begin')
  counting.statements.length = 0
  await work(client)
  const sent = [...counting.statements]
  await client.query('commit')
  client.release()
  return sent
}

const fill = (count: number) => statementsOf((tx) => createOutbox().addAll(tx, messages(count)))

describe('statements for a thousand messages', () => {
  it('added one by one are a thousand', async () => {
    const outbox = createOutbox()

    const sent = await statementsOf(async (tx) => {
      for (const message of messages(1_000)) await outbox.add(tx, message)
    })

    expect(sent).toHaveLength(1_000)
  })

  it('added at once are one', async () => {
    expect(await fill(1_000)).toHaveLength(1)
  })

  it('added at once in the order of commits are two: one locks the keys', async () => {
    const outbox = createOutbox({ ordering: 'commit' })

    expect(await statementsOf((tx) => outbox.addAll(tx, messages(1_000)))).toHaveLength(2)
  })

  it('relayed and settled are at most ten, where the relay has ten thousand', async () => {
    await fill(10_000)
    const { pool: counted, statements } = countingPool()

    const report = await createRelay({ pool: counted, publisher: createMemoryBroker() }).runOnce()

    expect(report.published).toBe(10_000)
    const perThousand = (start: RegExp): number => statements.filter((text) => start.test(text)).length / 10
    expect(perThousand(/delete from "malote"\.messages/)).toBeLessThanOrEqual(3)
    expect(statements.length / 10).toBeLessThanOrEqual(10)
  })

  it.each([
    ['', 2],
    [', also when one was writing that ended soon after', 3],
  ])('are read once from the bottom of their lanes: who writes is looked at before%s', async (writes, looks) => {
    await fill(1_000)
    const writer = await database.client()
    await writer.query('begin')
    if (writes !== '') await createOutbox().add(writer, { topic: 'orders', type: 'order.accepted', payload: 0 })
    const floors: string[] = []
    const { pool: counted, statements } = countingPool(async (text, values) => {
      if (text.includes('limit l.lim')) floors.push(String(values?.[1]))
      if (text.includes('.held_keys as held')) await writer.query('commit')
    })

    await createRelay({ pool: counted, publisher: createMemoryBroker() }).runOnce()

    const first = statements.findIndex((text) => text.includes('limit l.lim'))
    expect(first).toBeGreaterThan(0)
    expect(statements.slice(0, first).filter((text) => text.includes(' as drawn,'))).toHaveLength(looks)
    expect(floors.length).toBeGreaterThan(1)
    expect(floors.filter((all) => all === `{${Array.from({ length: 64 }, () => 0).join(',')}}`)).toHaveLength(1)
  })

  it('that fail are at most four, however many keys they stop', async () => {
    await fill(1_000)
    const { pool: counted, statements } = countingPool()
    const broker = createMemoryBroker()
    broker.failWith(() => ({ kind: 'retryable', code: 'BUSY', message: 'later' }))

    const report = await createRelay({ pool: counted, publisher: broker, backoff: () => 60_000 }).runOnce()

    // Of each of the hundred keys one message at least was tried: those behind it wait.
    expect(report.retried).toBeGreaterThanOrEqual(100)
    expect(statements.filter((text) => text.includes('update "malote".messages')).length).toBeLessThanOrEqual(4)
  })

  it('that nobody adds are at most five a second', async () => {
    const { relay, statements, pass } = await startedRelay()
    await pass(3)

    statements.length = 0
    await pass(10)

    expect(statements.length).toBeLessThanOrEqual(50)
    await relay.stop()
  })

  it('that come while a relay lingers are published together; the first does not wait for them', async () => {
    const broker = createMemoryBroker()
    const { relay, pass } = await startedRelay({ publisher: broker, lingerMs: 10_000 })
    const sizes = (): number[] => broker.batches.map(({ length }) => length)
    await pass(3)

    await fill(1)
    await pass(3)
    expect(sizes()).toEqual([1])

    await fill(1)
    await pass(3)
    await fill(1)
    await pass(12)
    expect(sizes()).toEqual([1, 2])
    await relay.stop() // Lingering again, and that does not keep it.
  })

  it('ask once which keys are held, however many lanes are taken over, and then of few lanes at a time', async () => {
    const keys = 4_000
    await pool.query(
      `insert into malote.held_keys (topic, ordering_key) select 't', 'held ' || n from generate_series(1, $1::integer) n`,
      [keys],
    )
    await pool.query(
      `insert into malote.messages (topic, type, ordering_key, payload)
       select 't', 'x', 'held ' || n, '{}' from generate_series(1, $1::integer) n`,
      [keys],
    )
    const lanesAsked: number[] = []
    const named: number[] = []
    const ofAllHeld: unknown[] = []
    const { relay, statements, pass } = await startedRelay({}, (text, values = []) => {
      if (text.includes('.held_keys as held')) lanesAsked.push((values[0] as readonly number[]).length)
      if (text.includes(' as held_version')) ofAllHeld.push(values[3])
      for (const value of values) named.push(String(value).split('held ').length - 1)
      return Promise.resolve()
    })

    await pass(3)
    expect(lanesAsked).toEqual([64])
    // The first read, from the bottom of all lanes, would bring them.
    expect(Math.max(...named)).toBe(keys)

    named.length = 0
    await pass(20)
    const asked = lanesAsked.slice(1)
    expect([asked.length > 3, new Set(asked)]).toEqual([true, new Set([4])])
    // The look below the floors of four lanes. A lane has a sixty-fourth of the keys, give or take a few.
    expect(Math.max(...named)).toBeGreaterThan(0)
    expect(Math.max(...named)).toBeLessThan(keys / 8)
    expect(statements.filter((text) => text.includes('limit l.lim')).length).toBeGreaterThan(10)
    expect(ofAllHeld.slice(0, 6)).toEqual([false, true, false, false, false, true])

    // As plain SQL does it: nobody is told.
    lanesAsked.length = 0
    await pool.query(`delete from malote.held_keys where ordering_key = 'held 7'`)
    await pass(3)
    expect(lanesAsked).toContain(64)
    await relay.stop()
    await pool.query('delete from malote.held_keys')
  })
})
