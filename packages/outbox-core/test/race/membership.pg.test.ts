import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createManualClock } from '../../src/testing/index.ts'
import { createRelayBench, type RelayBench } from '../relay-bench.ts'
import { createSteppedRelay, insert, type SteppedRelay, type SteppedRelayOptions } from './stepped-relay.ts'

let bench: RelayBench
const stepped: SteppedRelay[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  for (const relay of stepped.splice(0)) relay.connections.destroy()
  await bench.reset()
})
afterAll(() => bench.database.drop())

async function setup(options: SteppedRelayOptions = {}): Promise<SteppedRelay> {
  const relay = await createSteppedRelay(bench.as.relay, options)
  stepped.push(relay)
  return relay
}

const expire = (relay: SteppedRelay): Promise<unknown> =>
  bench.pool.query(`update malote.relays set lease_until = clock_timestamp() - interval '1 s' where id = $1`, [
    relay.relayId,
  ])
const failure = { kind: 'retryable', code: 'NOPE', message: 'no' } as const
const owners = async (): Promise<string[]> =>
  (await bench.pool.query('select distinct owner from malote.lanes where owner is not null')).rows.map(
    (row) => row.owner,
  )

/** Resolves when a backend of this database waits for a lock held by another. */
async function someoneWaits(): Promise<void> {
  for (;;) {
    const { rows } = await bench.pool.query(
      'select from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0',
    )
    if (rows.length > 0) return
  }
}

describe('a lease', () => {
  it('that ran out is not renewed (race 11)', async () => {
    const clock = createManualClock()
    const relay = await setup({ clock, acquire: 10 })
    await expire(relay)
    await clock.advance(10_001)

    expect(await relay.membership.renewWhenDue()).toBe(false)
  })

  it('being renewed while a reaper looks stays (race 11)', async () => {
    const [owner, reaper] = [await setup({ acquire: 64 }), await setup({ acquire: 0 })]
    await expire(owner)
    const renewal = await bench.database.client()
    await renewal.query('begin')
    await renewal.query(`update malote.relays set lease_until = clock_timestamp() + interval '30 s' where id = $1`, [
      owner.relayId,
    ])

    expect(await reaper.membership.reap()).toBe(0)
    await renewal.query('commit')

    expect(await reaper.membership.reap()).toBe(0)
    expect(await owners()).toEqual([owner.relayId])
  })

  it('reaped while its renewal waits is lost, lanes and all (race 11)', async () => {
    const clock = createManualClock()
    const owner = await setup({ clock, acquire: 64 })
    const reaper = await bench.database.client()
    await reaper.query('begin')
    await reaper.query('select from malote.relays where id = $1 for update', [owner.relayId])

    await clock.advance(10_001)
    const renewed = owner.membership.renewWhenDue()
    await someoneWaits()
    await reaper.query('delete from malote.relays where id = $1', [owner.relayId])
    await reaper.query('commit')

    expect(await renewed).toBe(false)
    expect(await owners()).toEqual([])
  })

  it('is trusted for nine tenths from before the renewal was sent', async () => {
    const clock = createManualClock()
    const relay = await setup({ clock })
    const slow = await bench.database.client()
    await slow.query('begin')
    await slow.query('select from malote.relays where id = $1 for update', [relay.relayId])
    await clock.advance(10_001)

    const renewed = relay.membership.renewWhenDue()
    await someoneWaits()
    await clock.advance(5_000)
    await slow.query('rollback')
    await renewed

    await clock.advance(21_999)
    expect(relay.membership.isTrusted).toBe(true)
    await clock.advance(1)
    expect(relay.membership.isTrusted).toBe(false)
  })

  it('is trusted by the earlier of two clocks', async () => {
    const clock = createManualClock()
    const relay = await setup({ clock })

    clock.jumpWall(-3_600_000)
    await clock.advance(26_999)
    expect(relay.membership.isTrusted).toBe(true)
    await clock.advance(1)
    expect(relay.membership.isTrusted).toBe(false)

    await relay.membership.renewWhenDue()
    expect(relay.membership.isTrusted).toBe(true)
    clock.jumpWall(3_600_000) // As after a suspension, during which the monotonic clock stood still.
    expect(relay.membership.isTrusted).toBe(false)
  })
})

describe('a relay that lost its lanes', () => {
  it('cannot schedule a retry, even when the takeover commits while it waits (race 10)', async () => {
    const [zombie, heir] = [await setup({ acquire: 64 }), await setup({ acquire: 0 })]
    await insert(bench.pool, 'm')
    await zombie.reader.read()
    const [message] = zombie.backlog.take(1)
    await expire(zombie)
    const takeover = await bench.database.client()
    await takeover.query('begin')
    await takeover.query('delete from malote.relays where id = $1', [zombie.relayId])
    await takeover.query('update malote.lanes set owner = $1, fence = fence + 1', [heir.relayId])

    zombie.settler.retry([{ message: message as never, failure, delayMs: 1_000 }])
    await someoneWaits()
    await takeover.query('commit')
    await zombie.settler.idle()

    expect(zombie.wasFenced()).toBe(true)
    const { rows } = await bench.pool.query('select attempts, available_at from malote.messages')
    expect(rows).toEqual([{ attempts: 0, available_at: null }])
  })

  it('cannot bury a message', async () => {
    const [zombie, heir] = [await setup({ acquire: 64 }), await setup({ acquire: 0 })]
    await insert(bench.pool, 'm', 'k')
    await zombie.reader.read()
    const [message] = zombie.backlog.take(1)
    await expire(zombie)
    await heir.membership.reap()
    await heir.membership.acquire(64)

    zombie.settler.bury([{ message: message as never, failure, reason: 'PERMANENT', isKeyHeld: true }])
    await zombie.settler.idle()

    expect(zombie.wasFenced()).toBe(true)
    expect(await bench.count('dead_letters')).toBe(0)
    expect(await bench.count('messages')).toBe(1)
  })

  it('and took them again under a new fence cannot use the old one', async () => {
    const relay = await setup({ acquire: 64 })
    await insert(bench.pool, 'm')
    await relay.reader.read()
    const [message] = relay.backlog.take(1)
    await bench.pool.query('update malote.lanes set fence = fence + 1')

    relay.settler.retry([{ message: message as never, failure, delayMs: 0 }])
    await relay.settler.idle()

    expect(relay.wasFenced()).toBe(true)
  })

  it('deletes only what it published, also after the sequence went back (race 20)', async () => {
    const relay = await setup()
    const seq = await insert(bench.pool, 'published before the failover', 'k')
    await relay.reader.read()
    const batch = relay.backlog.take(1)
    await bench.pool.query('delete from malote.messages')
    await bench.pool.query(
      `insert into malote.messages (seq, topic, type, ordering_key, payload) overriding system value values ($1, 't', 'x', 'k', 'new')`,
      [seq],
    )

    relay.settler.published(batch)
    await relay.settler.idle()

    expect(await bench.count('messages')).toBe(1)
  })
})

describe('heartbeats', () => {
  it('and fenced failures never deadlock, with other relays reaping (race 12)', async () => {
    const relay = await setup({ acquire: 64, leaseMs: 30_000 })
    const other = await setup({ acquire: 0 })
    await bench.pool.query(
      `insert into malote.messages (topic, type, payload) select 't', 'x', 'm' from generate_series(1, 2000)`,
    )
    await relay.reader.read()
    const messages = relay.backlog.take(2_000)
    const deadlocks = `select deadlocks::integer as n from pg_stat_database where datname = current_database()`
    const before = (await bench.pool.query(deadlocks)).rows[0].n

    const endMs = performance.now() + 3_000
    const beats = async (work: () => Promise<unknown>): Promise<number> => {
      let count = 0
      for (; performance.now() < endMs; count++) await work()
      return count
    }
    const counts = await Promise.all([
      beats(() =>
        bench.pool.query(`update malote.relays set lease_until = clock_timestamp() + interval '30 s' where id = $1`, [
          relay.relayId,
        ]),
      ),
      beats(() => other.membership.reap()),
      beats(async () => {
        relay.settler.retry(messages.slice(0, 200).map((message) => ({ message, failure, delayMs: 0 })))
        await relay.settler.idle()
      }),
    ])

    await bench.pool.query('select pg_stat_force_next_flush()').catch(() => {}) // Absent before PostgreSQL 15.
    expect(counts.every((count) => count > 3)).toBe(true)
    expect(relay.wasFenced()).toBe(false)
    expect((await bench.pool.query(deadlocks)).rows[0].n).toBe(before)
  })
})
