import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { messageReadTexts } from '../../src/postgres/message-reads.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'
import { createSteppedRelay, insert, type SteppedRelay } from './stepped-relay.ts'

let bench: RelayBench
const stepped: SteppedRelay[] = []
const open: pg.Client[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()))
  for (const relay of stepped.splice(0)) relay.connections.destroy()
  await bench.reset()
})
afterAll(() => bench.database.drop())

async function begun(statement: string): Promise<pg.Client> {
  const client = await bench.database.client()
  await client.query(statement)
  open.push(client)
  return client
}

const fill = (count: number): Promise<unknown> =>
  bench.pool.query(
    `insert into malote.messages (topic, type, ordering_key, payload) select 't', 'x', 'k' || n % 100, 'm' from generate_series(1, $1::integer) n`,
    [count],
  )

describe('a backlog is worked off without walking over what is done (race 15), while', () => {
  it.each([
    [
      'a repeatable-read snapshot is open',
      'begin isolation level repeatable read; select count(*) from malote.messages',
    ],
    ['a transaction that wrote elsewhere is idle', 'begin; create temporary table elsewhere (n integer)'],
    [
      'a transaction that wrote to the outbox is idle',
      `begin; insert into malote.messages (topic, type, payload) values ('t', 'x', 'open')`,
    ],
  ])('%s', async (_name, statement) => {
    const relay = await createSteppedRelay(bench.as.relay, { oldAfter: 500 })
    stepped.push(relay)
    for (let round = 0; round < 3; round++) await relay.step()
    await begun(statement)
    await fill(3_000)
    const { rows } = await bench.pool.query('select max(seq)::integer as last from malote.messages')

    let published = 0
    for (let round = 0; round < 10; round++) published += (await relay.step()).length

    expect(published).toBe(3_000)
    const floors = relay.lanes.numbers().map((lane) => relay.floor.of(lane))
    expect(Math.min(...floors)).toBe(rows[0].last)
  })
})

describe('the read stays on its index, in its order (race 16),', () => {
  it.each([
    ['never analyzed', ['truncate malote.messages', 'fill']],
    ['analyzed while empty', ['truncate malote.messages', 'analyze malote.messages', 'fill']],
    ['vacuumed while empty', ['truncate malote.messages', 'vacuum analyze malote.messages', 'fill']],
    ['analyzed while full', ['fill', 'analyze malote.messages']],
    [
      'analyzed while all waited',
      ['fill', 'update malote.messages set available_at = now()', 'analyze malote.messages', 'fill'],
    ],
    ['emptied since it was analyzed', ['fill', 'analyze malote.messages', 'delete from malote.messages', 'fill']],
  ])('on a table %s', async (_name, statements) => {
    for (const statement of statements) await (statement === 'fill' ? fill(20_000) : bench.pool.query(statement))

    for (const blocked of ['{}', `{${Array.from({ length: 500 }, (_, n) => `"t k${String(n)}"`).join(',')}}`]) {
      const { rows } = await bench.pool.query(`explain ${withValues(messageReadTexts('malote').ready, blocked)}`)
      const plan = rows.map((row) => String(row['QUERY PLAN'])).join('\n')
      expect(plan).toContain('Index Scan using messages_pkey')
      expect(plan).not.toContain('Sort')
    }
  })
})

/** An unnamed statement is planned with its values in sight. */
function withValues(text: string, blocked: string): string {
  const lanes = Array.from({ length: 64 }, (_, lane) => lane)
  const known = Array.from({ length: 1_000 }, (_, seq) => seq)
  const values = [lanes, lanes.map(() => 0), lanes.map(() => 64), lanes.map(() => 100_000), known]
  const literals = [...values.map((value) => `'{${value.join(',')}}'`), `'${blocked}'`, '1000000', `'{dead}'`, '10']
  return text.replaceAll(/\$(\d)/g, (_, n: string) => literals[Number(n) - 1] ?? '')
}

describe('a blocked key with a long queue (race 18)', () => {
  it('does not stand in the way of the other keys of its lane', async () => {
    const { relay, broker, observer } = bench.relay({ maxAttempts: 1, maxBufferedMessages: 500 })
    await bench.pool.query(
      `insert into malote.messages (topic, type, ordering_key, payload) select 't', 'x', 'hot', 'm' from generate_series(1, 20000)`,
    )
    const lane = (await bench.pool.query('select lane from malote.messages limit 1')).rows[0].lane as number
    const { rows } = await bench.pool.query(
      `select 'other ' || n as key from generate_series(1, 1000) n where hashtextextended('other ' || n, 0) & 63 = $1 limit 3`,
      [lane],
    )
    broker.failWith((message) =>
      message.orderingKey === 'hot' ? { kind: 'permanent', code: 'NOPE', message: '' } : null,
    )
    relay.start()
    await observer.waitFor('key.held')

    await bench.add(...rows.map((row) => aMessage({ orderingKey: row.key as string })))
    await broker.received(3)

    expect(await bench.count('messages')).toBeGreaterThanOrEqual(19_999)
    expect(broker.batches.flat().filter((message) => message.orderingKey === 'hot').length).toBeLessThan(1_000)
  })
})

describe('a role that defaults to repeatable read (race 19)', () => {
  it('publishes, retries, buries and hands over as any other', async () => {
    const pool = bench.relayPool({ options: '-c default_transaction_isolation=repeatable\\ read' })
    const first = bench.relay({ pool, maxAttempts: 2, afterDeadLetter: 'skip' })
    const ids = await bench.add(...[1, 2, 3].map(() => aMessage({ orderingKey: 'a' })))
    first.broker.failWith((message) =>
      message.id === ids[0] ? { kind: 'retryable', code: 'NOPE', message: '' } : null,
    )
    first.relay.start()
    const second = bench.relay({ pool })
    second.relay.start()
    await second.observer.waitFor('lanes.acquired')

    await Promise.race([first.observer, second.observer].map((observer) => observer.waitFor('batch.settled')))
    await first.relay.stop()
    await bench.add(aMessage({ orderingKey: 'a' }))

    await second.observer.waitFor('batch.settled')
    expect([...first.observer.of('lanes.lost'), ...second.observer.of('lanes.lost')]).toEqual([])
  })

  it('is fenced as any other: a takeover that commits while a retry waits counts', async () => {
    const pool = bench.relayPool({ options: '-c default_transaction_isolation=repeatable\\ read' })
    const zombie = await createSteppedRelay(pool)
    stepped.push(zombie)
    await insert(bench.pool, 'm')
    await zombie.reader.read()
    const [message] = zombie.backlog.take(1)
    const takeover = await begun('begin')
    await takeover.query('delete from malote.relays where id = $1', [zombie.relayId])

    const failure = { kind: 'retryable', code: 'NOPE', message: '' } as const
    zombie.settler.retry([{ message: message as never, failure, delayMs: 0 }])
    await takeover.query('commit')
    await zombie.settler.idle()

    expect(zombie.wasFenced()).toBe(true)
  })
})
