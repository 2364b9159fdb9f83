import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createRelayBench, type RelayBench } from '../relay-bench.ts'
import { createSteppedRelay, insert, type SteppedRelay, type SteppedRelayOptions } from './stepped-relay.ts'

let bench: RelayBench
const stepped: SteppedRelay[] = []
const open: pg.Client[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end())) // Not a failed test's locks in the way of the next.
  for (const relay of stepped.splice(0)) relay.connections.destroy()
  await bench.reset()
})
afterAll(() => bench.database.drop())

async function setup(options: SteppedRelayOptions = {}): Promise<SteppedRelay> {
  const relay = await createSteppedRelay(bench.as.relay, options)
  stepped.push(relay)
  // Transactions found at the first barriers may have drawn anything: begin with some that found none.
  for (let round = 0; round < 3; round++) await relay.step()
  return relay
}

/** A client with an open transaction. */
async function begun(): Promise<pg.Client> {
  const client = await bench.database.client()
  await client.query('begin')
  open.push(client)
  return client
}

/** Enough rounds for any floor to pass what it can pass. */
async function steps(relay: SteppedRelay, rounds = 4): Promise<string[]> {
  const published: string[] = []
  for (let round = 0; round < rounds; round++) published.push(...(await relay.step()))
  return published
}

const passedBy = (relay: SteppedRelay, seq: number): boolean =>
  relay.lanes.numbers().some((lane) => relay.floor.of(lane) >= seq)

describe('the floor never passes a message that may still be committed', () => {
  it('when the older transaction draws the later value (race 1)', async () => {
    const relay = await setup()
    const [older, younger] = [await begun(), await begun()]
    await older.query('select pg_current_xact_id()')
    await younger.query('select pg_current_xact_id()')
    const seq = await insert(younger, 'younger')
    await insert(older, 'older')
    await older.query('commit')

    expect(await steps(relay)).toEqual(['older'])
    expect(passedBy(relay, seq)).toBe(false)
    await younger.query('commit')

    expect(await relay.step()).toEqual(['younger'])
  })

  it('when the value is drawn long before the transaction has an id (race 2)', async () => {
    const relay = await setup()
    await bench.pool.query(`
      create or replace function wait_for_gate() returns trigger language plpgsql as $$
      begin if new.payload = 'late' then perform pg_advisory_xact_lock(4711); end if; return new; end $$;
      create trigger gate before insert on malote.messages for each row execute function wait_for_gate()`)
    const [gate, late] = [await begun(), await begun()]
    await gate.query('select pg_advisory_xact_lock(4711)')
    const inserting = insert(late, 'late')
    const pid = (late as unknown as { processID: number }).processID
    for (;;) {
      const { rows } = await gate.query(
        `select from pg_locks where pid = $1 and locktype = 'advisory' and not granted`,
        [pid],
      )
      if (rows.length > 0) break
    }

    await insert(bench.pool, 'early')
    expect(await steps(relay)).toEqual(['early'])
    await gate.query('commit')
    await inserting
    await late.query('commit')

    expect(await relay.step()).toEqual(['late'])
    await bench.pool.query('drop trigger gate on malote.messages')
  })

  it('when a savepoint gives the lock back and a later insert takes it again (race 4)', async () => {
    const relay = await setup()
    const writer = await begun()
    await writer.query('savepoint one')
    await insert(writer, 'undone')
    await relay.step()
    await writer.query('rollback to savepoint one')
    await insert(bench.pool, 'other 1')
    expect(await steps(relay)).toEqual(['other 1'])
    await writer.query('savepoint two')
    await insert(writer, 'kept')
    await writer.query('release savepoint two')
    await insert(bench.pool, 'other 2')

    expect(await steps(relay)).toEqual(['other 2'])
    await writer.query('commit')

    expect(await relay.step()).toEqual(['kept'])
  })

  it('when a transaction is prepared between a barrier and its commit (race 5)', async () => {
    const relay = await setup()
    const writer = await begun()
    await insert(writer, 'prepared')
    await steps(relay)
    await writer.query(`prepare transaction 'race-5'`)
    await insert(bench.pool, 'other')

    expect(await steps(relay)).toEqual(['other'])
    await writer.query(`commit prepared 'race-5'`)

    expect(await relay.step()).toEqual(['prepared'])
  })

  it('when a read stops at its limit before it reached the late message (race 8)', async () => {
    const relay = await setup({ maxMessages: 64 })
    const late = await begun()
    const key = 'k'
    await insert(bench.pool, 'first', key)
    expect(await relay.step()).toEqual(['first'])
    // 300 late messages of one lane, and one committed follower above them that every read could see.
    for (let n = 0; n < 300; n++) await insert(late, `late ${String(n)}`, key)
    await insert(bench.pool, 'above', 'other')
    expect(await steps(relay)).toEqual(['above'])
    await late.query('commit')
    await insert(bench.pool, 'follower', key)

    const published = await steps(relay, 30)

    expect(published).toEqual([...Array.from({ length: 300 }, (_, n) => `late ${String(n)}`), 'follower'])
  })

  it('when writers roll back and leave giant gaps (race 21)', async () => {
    const relay = await setup()
    const [undone, late] = [await begun(), await begun()]
    await insert(late, 'late')
    await undone.query(
      `insert into malote.messages (topic, type, payload) select 't', 'x', 'undone' from generate_series(1, 20000)`,
    )
    await undone.query('rollback')
    await insert(bench.pool, 'after the gap')

    expect(await steps(relay)).toEqual(['after the gap'])
    await late.query('commit')

    expect(await steps(relay)).toEqual(['late'])
  })
})

describe('a key stays in order', () => {
  it('when a late message and its serialised follower become visible together (race 3)', async () => {
    const relay = await setup()
    const first = await begun()
    await insert(first, 'first', 'k')
    await insert(bench.pool, 'other', 'other')
    expect(await steps(relay)).toEqual(['other'])
    await first.query('commit')
    await insert(bench.pool, 'follower', 'k')

    expect(await relay.step()).toEqual(['first', 'follower'])
  })

  it('when the late one was left behind, and both commit between a barrier and the snapshot (race 3)', async () => {
    const relay = await setup({ oldAfter: 5 })
    const first = await begun()
    const seq = await insert(first, 'first', 'k')
    for (let n = 0; n < 20; n++) await insert(bench.pool, 'other', 'other')
    await steps(relay)
    expect(passedBy(relay, seq)).toBe(true)

    relay.onRead(async (moment, text) => {
      if (moment !== 'before' || !text.includes('cross join lateral')) return
      relay.onRead(() => Promise.resolve())
      await first.query('commit')
      await insert(bench.pool, 'follower', 'k')
    })

    expect(await steps(relay)).toEqual(['first', 'follower'])
  })

  it('when the late one was left behind and ends during the barrier after a read (race 3)', async () => {
    const relay = await setup({ oldAfter: 5 })
    const first = await begun()
    await insert(first, 'first', 'k')
    for (let n = 0; n < 20; n++) await insert(bench.pool, 'other', 'other')
    await steps(relay)

    relay.onRead(async (moment, text) => {
      if (moment !== 'before' || !text.includes('pg_locks')) return
      relay.onRead(() => Promise.resolve())
      await first.query('commit')
      await insert(bench.pool, 'follower', 'k')
    })

    expect(await steps(relay)).toEqual(['first', 'follower'])
  })
})

describe('a message is not read twice', () => {
  it('when it is deleted while a read with an older snapshot is on its way (race 7)', async () => {
    const relay = await setup()
    await insert(bench.pool, 'once')
    await relay.reader.read()
    const batch = relay.backlog.take(10)
    relay.onRead(async (moment, text) => {
      if (moment !== 'after' || !text.includes('cross join lateral')) return
      relay.onRead(() => Promise.resolve())
      relay.settler.published(batch)
      await relay.settler.idle()
    })
    await insert(bench.pool, 'twice?')
    await relay.reader.read()

    expect(await steps(relay)).toEqual(['twice?'])
    expect(await bench.count('messages')).toBe(0)
  })
})
