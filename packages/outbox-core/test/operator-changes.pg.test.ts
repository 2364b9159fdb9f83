import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

/** What an operator does to rows by SQL while a relay knows them. */

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

const refused = { kind: 'retryable', code: 'NO', message: 'no' } as const

describe('a row that an operator changes between read and settle', () => {
  it('is settled by its key at once, also when the delete has to wait for the change', async () => {
    const ids = await bench.add(...Array.from({ length: 3 }, () => aMessage({ orderingKey: 'a' })), aMessage())
    const operator = await bench.database.client()
    const { relay, broker, observer } = bench.relay()
    broker.beforePublish(async () => {
      broker.beforePublish(() => {})
      await operator.query('begin')
      await operator.query(`update malote.messages set payload = '"changed"' where id = any($1)`, [ids.slice(1, 3)])
    })
    relay.start()
    await eventually(async () => {
      // Of this database: other tests wait for locks on the same server.
      const { rows } = await bench.pool.query(
        'select from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0',
      )
      expect(rows).not.toEqual([])
    })
    await operator.query('commit')

    await observer.waitFor('batch.settled')

    expect(await bench.count('messages')).toBe(0)
    expect(broker.accepted.map(({ id }) => id).sort()).toEqual([...ids].sort())
  })

  it('may be gone: what stands behind it goes on', async () => {
    const ids = await bench.add(...Array.from({ length: 3 }, () => aMessage({ orderingKey: 'a' })))
    const { relay, broker, observer } = bench.relay()
    broker.beforePublish(async () => {
      await bench.pool.query('delete from malote.messages where id = $1', [ids[1]])
      broker.beforePublish(() => {})
    })
    relay.start()
    await broker.received(3)
    const [next] = await bench.add(aMessage({ orderingKey: 'a' }))

    await broker.received(4)

    expect(broker.accepted.at(-1)?.id).toBe(next)
    await eventually(async () => expect(await bench.count('messages')).toBe(0))
    expect(observer.of('lanes.lost')).toEqual([])
  })
})

describe('a failed message that waits for its next attempt in an hour', () => {
  it.each([
    ['deletes it', 'delete from malote.messages where id = $1', 1],
    ['makes it ready', 'update malote.messages set available_at = null where id = $1', 2],
    ['makes it due', 'update malote.messages set available_at = now() where id = $1', 2],
  ])('lets its key go on when an operator %s', async (_name, statement, expected) => {
    const { relay, broker, observer } = bench.relay({ backoff: () => 3_600_000, rescanIntervalMs: 400 })
    const [failing] = await bench.add(aMessage({ orderingKey: 'a' }))
    broker.failWith(({ id, attempt }) => (id === failing && attempt === 1 ? refused : null))
    relay.start()
    await observer.waitFor('message.retry-scheduled')
    const [next] = await bench.add(aMessage({ orderingKey: 'a' }))

    await bench.pool.query(statement, [failing])

    await broker.received(expected)
    expect(broker.accepted.map(({ id }) => id)).toEqual([failing, next].slice(2 - expected))
    expect(observer.of('rescan.found-missed')).toEqual([])
  })
})
