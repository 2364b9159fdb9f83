import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { ownTypes } from '../src/postgres/own-types.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from './relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

const truncateAll = (how: string): Promise<unknown> =>
  bench.pool.query(
    `truncate malote.messages, malote.scheduled_messages, malote.relays, malote.lanes, malote.doorbell, malote.dead_letters, malote.held_keys ${how}`,
  )

describe('TRUNCATE of all tables, as test suites do', () => {
  it.each(['', 'restart identity'])('(%s) under a relay stops nothing that comes after it', async (how) => {
    const { relay, broker, observer } = bench.relay({ pollIntervalMs: 20, leaseMs: 3_000 })
    relay.start()
    await bench.add(...Array.from({ length: 200 }, () => aMessage()))
    await broker.received(200)
    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    await truncateAll(how)
    await bench.add(...Array.from({ length: 200 }, () => aMessage()))

    await broker.received(400)
    await observer.waitFor('lanes.restored')
    await eventually(async () => expect(await bench.count('lanes')).toBe(64))
  })

  it('before a relay starts leaves it its lanes', async () => {
    await truncateAll('cascade')
    await bench.add(aMessage())

    expect(await bench.relay().relay.runOnce()).toMatchObject({ published: 1 })
  })

  it('of the messages alone, with their sequence, ends the session that read past what comes', async () => {
    const { relay, broker, observer } = bench.relay({ pollIntervalMs: 20 })
    relay.start()
    for (let received = 1; received <= 50; received++) {
      await bench.add(aMessage())
      await broker.received(received)
    }
    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    await bench.pool.query('truncate malote.messages restart identity')
    await bench.add(aMessage())

    await broker.received(51)
    expect(observer.of('database.disconnected')).toMatchObject([
      { error: expect.objectContaining({ message: expect.stringContaining('went back') }) },
    ])
  })
})

describe('a row that cannot be settled', () => {
  /** As if it had been there before the table had this rule, which is of somebody else: ours are asked of new rows only. */
  async function insertBreaking(rule: string, columns: string, values: string): Promise<void> {
    await bench.pool.query(
      `insert into malote.messages (topic, type, payload, lane, ${columns}) overriding system value values ('t', 'x', '{}', 7, ${values})`,
    )
    await bench.pool.query(`alter table malote.messages add constraint younger check (${rule}) not valid`)
  }
  afterEach(() => bench.pool.query('alter table malote.messages drop constraint if exists younger'))

  it.each([
    ['breaks a rule that is younger', `repeat('k', 300)`, 'UNSTORABLE', 1],
    // Hardly compressible, so that no index takes it: neither its own failure nor the hold of its key can be stored.
    [
      'has a key of 10,000 characters',
      `(select string_agg(md5(n::text), '') from generate_series(1, 320) n)`,
      'UNSTORABLE',
      0,
    ],
  ])('because it %s is buried alone, and the session goes on', async (_name, key, code, held) => {
    await insertBreaking('char_length(ordering_key) < 256', 'ordering_key', key)
    await bench.add(...Array.from({ length: 20 }, (_, n) => aMessage({ orderingKey: `k${String(n)}` })))
    const { relay, broker, observer } = bench.relay({ backoff: () => 1 })
    broker.failWith(({ attempt }) => (attempt === 1 ? { kind: 'retryable', code: 'NO', message: 'no' } : null))
    relay.start()

    await broker.received(20)
    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    expect(observer.of('message.dead-lettered')).toMatchObject([{ reason: 'PERMANENT', code }])
    expect(observer.of('lanes.lost')).toEqual([])
    expect(await bench.count('held_keys')).toBe(held)
  })
})

describe('a relay refuses', () => {
  it.each([1, 2])('a pool of %i, with the number that it needs', (max) => {
    expect(() => bench.relay({ pool: bench.relayPool({ max }) })).toThrow(/max 3 or more/)
  })

  it('a sequence that JavaScript cannot count with', async () => {
    await bench.pool.query(`alter sequence malote.messages_seq_seq restart ${String(2 ** 53 - 10)}`)
    await bench.pool.query(`insert into malote.messages (topic, type, payload) values ('t', 'x', '{}')`)

    await expect(bench.relay().relay.runOnce()).rejects.toMatchObject({ code: 'SCHEMA_UNSUPPORTED' })
    await bench.pool.query('truncate malote.messages restart identity')
  })
})

describe('one id in two topics', () => {
  it('is two messages: the failure of one buries that one alone', async () => {
    const id = '01890a5d-ac96-774b-bcce-b302099a8057'
    await bench.pool.query(
      `insert into malote.messages (id, topic, type, payload) values ($1, 'good', 'x', '{}'), ($1, 'bad', 'x', '{}')`,
      [id],
    )
    const { relay, broker, observer } = bench.relay()
    broker.failWith(({ topic }) => (topic === 'bad' ? { kind: 'permanent', code: 'NO', message: '' } : null))

    await relay.runOnce()

    expect(broker.accepted).toMatchObject([{ topic: 'good' }])
    expect(observer.of('message.dead-lettered')).toMatchObject([{ topic: 'bad' }])
  })
})

describe('an application that has told pg how to read', () => {
  const foreign = (): string => 'mine'

  /** Runs with parsers that all of the process gets. Nothing of the bench may be read meanwhile. */
  async function withParsers(oids: readonly number[], work: () => Promise<unknown>): Promise<void> {
    const types = pg.types as unknown as {
      getTypeParser(oid: number): unknown
      setTypeParser(oid: number, parser: unknown): void
    }
    const before = oids.map((oid) => types.getTypeParser(oid))
    for (const oid of oids) types.setTypeParser(oid, foreign)
    try {
      await work()
    } finally {
      oids.forEach((oid, at) => types.setTypeParser(oid, before[at]))
    }
  }

  const types = [
    ['bool', 16, "'t'", true],
    ['bytea', 17, String.raw`'\x00ff'`, Buffer.from([0, 255])],
    ['int8', 20, '9007199254740993', '9007199254740993'],
    ['int2', 21, '7', 7],
    ['int4', 23, '-5', -5],
    ['float8', 701, '123456789012345', 123456789012345],
    ['text[]', 1009, String.raw`array['a', 'b,"c', 'd\e', '', 'null', '{}']`, ['a', 'b,"c', 'd\\e', '', 'null', '{}']],
    ['uuid', 2950, "'01890a5d-ac96-774b-bcce-b302099a8057'", '01890a5d-ac96-774b-bcce-b302099a8057'],
    ['text', 25, "'x'", 'x'],
    ['jsonb', 3802, `'{"a": 1}'`, '{"a": 1}'],
  ] as const

  it.each(types)('(%s) is not asked when the relay reads one', async (name, oid, sql, value) => {
    const client = await bench.database.client()
    const statement = { text: `select (${sql})::${name} as value`, types: ownTypes }

    await withParsers([oid], async () => expect((await client.query(statement)).rows).toEqual([{ value }]))
  })

  const messages = [
    aMessage({ topic: 'again', orderingKey: 'a', payload: new Uint8Array([0, 255]) }),
    aMessage({ topic: 'again', orderingKey: 'a' }),
    aMessage({ topic: 'held', orderingKey: 'b' }),
    aMessage({ topic: 'later', delayMs: 1 }),
  ]
  const bodies = [Buffer.from([0, 255]), '{"amount":1000}', '{"amount":1000}']

  /** Publishes, tries again in order, holds a key, moves what is due, and settles. */
  async function works({ relay, broker, observer }: StartedRelay): Promise<void> {
    broker.failWith(({ topic, attempt }) => {
      if (topic === 'held') return { kind: 'permanent', code: 'NO', message: 'no' }
      return topic === 'again' && attempt === 1 ? { kind: 'retryable', code: 'NO', message: 'no' } : null
    })
    relay.start()
    await broker.received(bodies.length)
    await observer.waitFor('key.held')
    await eventually(() => {
      const settled = observer.of('batch.settled').reduce((sum, event) => sum + event.messages, 0)
      expect(settled).toBe(bodies.length)
    })
    const inOrder = [...broker.accepted].sort((a, b) => a.topic.localeCompare(b.topic))
    expect(inOrder.map(({ topic }) => topic)).toEqual(['again', 'again', 'later'])
    expect(inOrder.map(({ body }) => body)).toEqual(bodies)
    expect(observer.of('database.disconnected')).toEqual([])
  }

  it.each<[string, readonly number[]]>([
    ...types.map(([name, oid]): [string, number[]] => [name, [oid]]),
    ['all', types.map(([, oid]) => oid)],
  ])('(%s, for the whole process) changes nothing for the relay', async (_name, oids) => {
    await bench.add(...messages)
    const started = bench.relay({ pollIntervalMs: 20 })

    await withParsers(oids, async () => {
      await works(started)
      await started.relay.stop()
    })

    expect(await bench.count('messages')).toBe(0)
    expect(await bench.count('dead_letters')).toBe(1)
  })

  it.each([
    ['everything in binary', { binary: true }],
    ['everything its own way', { types: { getTypeParser: () => foreign } }],
    ['both', { binary: true, types: { getTypeParser: () => foreign } }],
  ])('(%s, for the relay’s pool) changes nothing for the relay', async (_name, options) => {
    await bench.add(...messages)
    const started = bench.relay({ pool: bench.relayPool(options as never), pollIntervalMs: 20 })

    await works(started)

    await eventually(async () => expect(await bench.count('messages')).toBe(0))
  })
})

describe('a role with defaults of its own', () => {
  it('changes nothing: serializable, short timeouts, other notations', async () => {
    const defaults = {
      default_transaction_isolation: 'serializable',
      statement_timeout: 300,
      lock_timeout: 100,
      bytea_output: 'escape',
      extra_float_digits: -10,
    }
    const options = Object.entries(defaults).map(([name, value]) => `-c ${name}=${String(value)}`)
    const { relay, broker, observer } = bench.relay({ pool: bench.relayPool({ options: options.join(' ') }) })
    await bench.pool.query('alter sequence malote.messages_seq_seq restart 123456789012345')
    await bench.add(aMessage({ payload: new Uint8Array([0, 255]) }))
    await bench.pool.query(`create table isolations (isolation text); grant all on isolations to public;
      create function note_isolation() returns trigger language plpgsql as $$ begin
        insert into isolations select current_setting('transaction_isolation');
        return null;
      end $$;
      create trigger note_isolation after delete on malote.messages execute function note_isolation()`)
    const other = await bench.database.client()
    await other.query('begin')
    await other.query('lock table malote.messages in share mode')
    relay.start()
    // The delete waits for the lock; it must wait for longer than the role's timeouts allow. Whatever comes of it, nobody may hang behind it.
    const lost = observer.waitFor('database.disconnected').then(
      ({ error }) => error,
      () => new Promise(() => {}), // It never was.
    )
    const hasWaited = eventually(async () => {
      const { rows } = await bench.pool.query(
        `select from pg_locks where not granted and clock_timestamp() - waitstart > $1
           and database = (select oid from pg_database where datname = current_database())`,
        ['600 ms'],
      )
      expect(rows).not.toEqual([])
    }).then(
      () => 'waited for longer than the timeouts',
      (error: unknown) => error,
    )
    const ended = await Promise.race([hasWaited, lost])
    await other.query('commit')

    expect(ended).toBe('waited for longer than the timeouts')
    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    const { rows } = await bench.pool.query('select distinct isolation from isolations')
    await bench.pool.query('drop function note_isolation cascade; drop table isolations')
    expect(rows).toEqual([{ isolation: 'read committed' }])
    expect(broker.accepted).toMatchObject([{ body: Buffer.from([0, 255]) }])
    expect(observer.of('lanes.lost')).toEqual([])
  })
})
