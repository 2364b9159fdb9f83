import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDeadLetters, outboxStatus } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from './relay-bench.ts'

/** Rows that `add` never writes: by plain SQL, by an operator, or from before the table had its rules. */

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

/** Does it as if the rules of scheduled messages were younger: they are not valid for what is there already. */
async function beforeRules(work: () => Promise<unknown>): Promise<void> {
  const { rows } = await bench.pool.query<{ conname: string; definition: string }>(
    `select conname, pg_get_constraintdef(oid) as definition from pg_constraint
     where contype = 'c' and not convalidated and conrelid = 'malote.scheduled_messages'::regclass`,
  )
  expect(rows).not.toEqual([])
  for (const { conname } of rows)
    await bench.pool.query(`alter table malote.scheduled_messages drop constraint ${conname}`)
  await work()
  for (const { conname, definition } of rows)
    await bench.pool.query(`alter table malote.scheduled_messages add constraint ${conname} ${definition}`)
}

const insert = (columns: string, values: string): Promise<unknown> =>
  bench.pool.query(`insert into malote.messages (topic, type, payload, ${columns}) values ('t', 'x', '{}', ${values})`)

/** As a row that was there before the rules: who gives a lane is not asked about them. */
const insertUnasked = (columns: string, values: string): Promise<unknown> =>
  bench.pool.query(
    `insert into malote.messages (topic, type, payload, lane, ${columns}) overriding system value values ('t', 'x', '{}', 7, ${values})`,
  )

const innocent = 20

/** Innocent messages get through beside the row, and no session ends. */
async function getsThrough({ relay, broker, observer }: StartedRelay): Promise<void> {
  await bench.add(...Array.from({ length: innocent }, (_, n) => aMessage({ orderingKey: `k${String(n)}` })))
  relay.start()
  await eventually(() =>
    expect(broker.accepted.filter(({ topic }) => topic === 'orders').map(({ id }) => id)).toHaveLength(innocent),
  )
  expect(observer.of('database.disconnected')).toEqual([])
  expect(observer.of('lanes.lost')).toEqual([])
}

const failOnce = { kind: 'retryable', code: 'NO', message: 'no' } as const

describe('a row by plain SQL', () => {
  it.each([
    ['attempts at the end of their range', 'attempts', '2147483647'],
    ['a scalar for failures', 'failures', `'3'`],
    ['an object for failures', 'failures', `'{"code": "RELAY_DIED", "among": 1}'`],
    ['failures that say nothing of a group', 'failures', `'[{"code": "RELAY_DIED", "among": "many"}]'`],
    ['failures that name a huge group', 'failures', `'[{"code": "RELAY_DIED", "among": 1e300}]'`],
    ['a creation at infinity', 'created_at', `'infinity'`],
    ['a creation before all time', 'created_at', `'-infinity'`],
    ['a creation of the year 200000', 'created_at', `'200000-01-01'`],
  ])('with %s is published or buried as any other', async (_name, column, value) => {
    await insert(column, value)
    const started = bench.relay({ maxAttempts: 3, backoff: () => 1 })
    started.broker.failWith(({ topic, attempt }) => (topic === 't' && attempt !== 3 ? failOnce : null))

    await getsThrough(started)

    await eventually(async () => expect(await bench.count('messages')).toBe(0))
    for (const { createdAt } of started.broker.accepted) expect(createdAt.toISOString()).toMatch(/^\d{4}-/)
    expect(started.observer.of('database.disconnected')).toEqual([])
  })

  it.each(['infinity', '-infinity'])('that is scheduled for %s stops nobody', async (at) => {
    await bench.pool.query(
      `insert into malote.scheduled_messages (topic, type, payload, available_at) values ('t', 'x', '{}', $1)`,
      [at],
    )
    const started = bench.relay()

    await getsThrough(started)

    if (at === '-infinity') await started.broker.received(innocent + 1)
    await eventually(async () =>
      expect(await outboxStatus(bench.as.reader)).toMatchObject({ scheduled: at === 'infinity' ? 1 : 0 }),
    )
  })

  it.each(['infinity', '-infinity'])('that waits until %s stops nobody', async (at) => {
    await insert('available_at', `'${at}'`)
    const started = bench.relay()

    await getsThrough(started)

    if (at === '-infinity') await started.broker.received(innocent + 1)
    await eventually(async () =>
      expect(await outboxStatus(bench.as.reader)).toMatchObject({ waiting: at === 'infinity' ? 1 : 0 }),
    )
  })
})

describe('headers', () => {
  it.each([
    [
      'values that are no text',
      `'{"n": 1, "t": true, "none": null, "o": {"a": [1]}, "s": "x"}'`,
      { n: '1', t: 'true', o: '{"a":[1]}', s: 'x' },
    ],
    [
      'text that nobody can send',
      String.raw`'{"a\u0000b": "c\u0000d", "half": "\ud800", "": "nameless"}'`,
      { ab: 'cd', half: '\ufffd' },
    ],
    ['names that belong to the library', `'{"ce-id": "mine", "Malote-Attempt": "9", "mine": "x"}'`, { mine: 'x' }],
    [
      'a name of every object',
      `'{"__proto__": "x", "constructor": "y"}'`,
      JSON.parse('{"__proto__": "x", "constructor": "y"}'),
    ],
  ])('with %s are read as text by text', async (_name, json, expected) => {
    await insert('headers', json)
    const started = bench.relay()

    await getsThrough(started)

    await started.broker.received(innocent + 1)
    expect(started.broker.accepted.find(({ topic }) => topic === 't')?.headers).toEqual(expected)
  })

  it.each([`'"text"'`, `'[{"a": "b"}]'`, `'3'`, `'null'`])('that are no object (%s) are none', async (json) => {
    await insertUnasked('headers', json)
    const started = bench.relay()

    await getsThrough(started)

    await started.broker.received(innocent + 1)
    expect(started.broker.accepted.find(({ topic }) => topic === 't')?.headers).toEqual({})
  })
})

describe('a scheduled row from before the table had its rules', () => {
  const schedule = (columns: string, values: string): Promise<unknown> =>
    beforeRules(() =>
      bench.pool.query(
        `insert into malote.scheduled_messages (topic, type, payload, available_at, ${columns}) values ('t', 'x', '{}', now() - interval '1 s', ${values})`,
      ),
    )

  it.each([
    ['a key that is too long', 'ordering_key', `repeat('k', 300)`],
    ['a content type that is too long', 'content_type', `repeat('c', 300)`],
  ])('(%s) is buried alone, and what is due beside it moves', async (_name, column, value) => {
    await bench.add(...Array.from({ length: 5 }, () => aMessage({ topic: 'due', delayMs: 1 })))
    await schedule(column, value)
    await bench.add(...Array.from({ length: 5 }, () => aMessage({ topic: 'due', delayMs: 1 })))
    const started = bench.relay()

    await getsThrough(started)

    await started.broker.received(innocent + 10)
    await eventually(async () => expect(await bench.count('scheduled_messages')).toBe(0))
    await started.observer.waitFor('message.dead-lettered')
    const { rows } = await bench.pool.query(
      `select reason, lane::integer, failures -> -1 ->> 'code' as code, (hashtextextended(coalesce(ordering_key, id::text) collate "C", 0) & 63)::integer as expected
       from malote.dead_letters`,
    )
    expect(rows).toMatchObject([{ reason: 'PERMANENT', code: 'UNSTORABLE', lane: rows[0].expected }])
    const deadLetters = createDeadLetters({ db: bench.as.operator })
    const [letter] = await deadLetters.list()
    const refused = { code: 'INVALID_MESSAGE', message: expect.stringMatching(/_is_short/) }
    await expect(deadLetters.replay([String(letter?.deadLetterId)])).rejects.toMatchObject(refused)
  })

  it('keeps its place when only its headers are no object', async () => {
    await schedule('headers', `'[1]'`)
    const started = bench.relay()

    await getsThrough(started)

    await started.broker.received(innocent + 1)
    expect(started.broker.accepted.find(({ topic }) => topic === 't')?.headers).toEqual({})
  })
})

describe('a row that cannot be charged with the death of a relay', () => {
  it('keeps no lane from its next owner', async () => {
    await insertUnasked('ordering_key', `repeat('k', 300)`)
    await bench.pool.query(
      'alter table malote.messages add constraint younger check (char_length(ordering_key) < 256) not valid',
    )
    await bench.pool.query(
      `insert into malote.relays (id, name, lease_until, trial_lanes, trial_seqs, trial_ids)
       select gen_random_uuid(), 'dead', now() - interval '1 h', array_agg(lane), array_agg(seq), array_agg(id) from malote.messages`,
    )
    await bench.pool.query('update malote.lanes set owner = (select id from malote.relays)')
    const started = bench.relay()

    await getsThrough(started)

    expect(await bench.pool.query(`select from malote.relays where name = 'dead'`)).toMatchObject({ rowCount: 0 })
    await eventually(async () => expect(await bench.count('messages')).toBe(0))
    await bench.pool.query('alter table malote.messages drop constraint younger')
  })
})
