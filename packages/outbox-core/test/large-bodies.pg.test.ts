import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createOutbox, type RelayOptions } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

let bench: RelayBench
const MiB = 1024 * 1024

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

/** Messages whose bodies are far smaller in the table than in memory. */
const insert = (
  count: number,
  bytes: number,
  key: string | null = null,
  availableAt: string | null = null,
): Promise<unknown> =>
  bench.pool.query(
    `insert into malote.messages (topic, type, ordering_key, payload, content_type, available_at)
     select 't', 'x', $3, repeat('x', $2), 'text/plain', $4::timestamptz from generate_series(1, $1)`,
    [count, bytes, key, availableAt],
  )

/** Runs once. @returns the most bytes in one publish and in all publishes at a time, and how many messages were accepted */
async function bytesOf(options: Partial<RelayOptions>): Promise<{ batch: number; inFlight: number; accepted: number }> {
  const { relay, broker } = bench.relay(options)
  let [batch, inFlight, most] = [0, 0, 0]
  broker.beforePublish(async (messages) => {
    const bytes = messages.reduce((sum, { body }) => sum + body.length, 0)
    batch = Math.max(batch, bytes)
    inFlight += bytes
    most = Math.max(most, inFlight)
    await new Promise((resolve) => setImmediate(resolve))
    inFlight -= bytes
  })
  await relay.runOnce()
  return { batch, inFlight: most, accepted: broker.accepted.length }
}

describe('the bytes in memory', () => {
  it.each<[string, string | null, string | null]>([
    ['ready, without a key', null, null],
    ['ready, of one key', 'k', null],
    ['waiting', null, 'now()'],
  ])('are those of the bodies as they are, not as they are stored (%s)', async (_name, key, availableAt) => {
    await insert(40, MiB, key, availableAt)

    const { batch, inFlight, accepted } = await bytesOf({ maxBufferedBytes: 8 * MiB, maxBatchBytes: 2 * MiB })

    expect(accepted).toBe(40)
    expect(batch).toBeLessThanOrEqual(2 * MiB)
    expect(inFlight).toBeLessThanOrEqual(8 * MiB)
  })

  it('exceed the limit for one message alone, which is published all the same, and in its order', async () => {
    await insert(3, MiB, 'k')
    await insert(1, 12 * MiB, 'k')
    await insert(3, MiB, 'k')
    const { relay, broker } = bench.relay({ maxBufferedBytes: 4 * MiB, maxBatchBytes: 2 * MiB })

    await relay.runOnce()

    expect(broker.accepted.map(({ body }) => body.length / MiB)).toEqual([1, 1, 1, 12, 1, 1, 1])
    expect(broker.batches.filter((batch) => batch.some(({ body }) => body.length > MiB))).toHaveLength(1)
  })

  it('are shared: large messages do not keep small ones from being read', async () => {
    await insert(30, 3 * MiB)
    await bench.add(...Array.from({ length: 500 }, () => aMessage()))

    expect(await bytesOf({ maxBufferedBytes: 8 * MiB })).toMatchObject({ accepted: 530 })
  })
})

describe('a body that is too large', () => {
  it('is refused by add, which says what to do', async () => {
    const outbox = createOutbox({ maxPayloadBytes: 100 })
    const client = await bench.database.client()
    await client.query('begin')

    const refused = { code: 'PAYLOAD_TOO_LARGE', message: expect.stringContaining('store it elsewhere') }
    await expect(outbox.add(client, aMessage({ payload: 'ä'.repeat(50) }))).rejects.toMatchObject(refused)
    await expect(outbox.add(client, aMessage({ payload: new Uint8Array(101) }))).rejects.toMatchObject(refused)
    await outbox.add(client, aMessage({ payload: 'ä'.repeat(49) }))
    await client.query('commit')
  })

  it.each(['messages', 'scheduled_messages'])('is refused by %s, whoever writes it', async (table) => {
    const columns = table === 'messages' ? '' : ', available_at'
    const values = table === 'messages' ? '' : `, now() + interval '1 hour'`
    const write = (bytes: number): Promise<unknown> =>
      bench.pool.query(
        `insert into malote.${table} (topic, type, payload, content_type${columns}) select 't', 'x', repeat('x', $1), 'text/plain'${values}`,
        [bytes],
      )

    await expect(write(64 * MiB + 1)).rejects.toMatchObject({ code: '23514', constraint: 'payload_is_not_too_large' })
  })

  it('is buried by the relay without being read, in its place in the order', async () => {
    await insert(1, 10, 'k')
    await insert(1, 2 * MiB, 'k')
    await insert(1, 10, 'k')
    await insert(1, 10, 'other')
    const { relay, broker, observer } = bench.relay({
      maxPayloadBytes: MiB,
      maxBufferedBytes: 1024 * MiB, // There is room for it.
      afterDeadLetter: 'skip',
    })

    await relay.runOnce()

    expect(broker.batches.flat().filter(({ body }) => body.length !== 10)).toEqual([])
    expect(broker.accepted).toHaveLength(3)
    expect(observer.of('message.dead-lettered')).toMatchObject([{ reason: 'PERMANENT', code: 'TOO_LARGE' }])
    const { rows } = await bench.pool.query('select octet_length(payload) as bytes from malote.dead_letters')
    expect(rows).toEqual([{ bytes: 2 * MiB }])
  })

  it('holds its key by default, and no other', async () => {
    await insert(1, 2 * MiB, 'k')
    await insert(1, 10, 'k')
    await insert(1, 10, 'other')
    const { relay, broker } = bench.relay({ maxPayloadBytes: MiB, pollIntervalMs: 20 })
    relay.start()

    await broker.received(1)
    await eventually(async () => expect(await bench.count('held_keys')).toBe(1))

    expect(broker.accepted).toMatchObject([{ orderingKey: 'other' }])
  })
})

describe('what plain SQL may write', () => {
  const tables = ['messages', 'scheduled_messages']
  const rules = [
    ['a topic of more than 255 characters', { topic: `repeat('t', 256)` }, 'topic_is_short'],
    ['a topic of two lines', { topic: `e'a\\nb'` }, 'topic_is_one_line'],
    ['an empty topic', { topic: `''` }, 'topic_is_not_empty'],
    ['a type of more than 255 characters', { type: `repeat('t', 256)` }, 'type_is_short'],
    ['a content type of more than 255 characters', { content_type: `repeat('c', 256)` }, 'content_type_is_short'],
    ['a key of more than 255 characters', { ordering_key: `repeat('k', 256)` }, 'ordering_key_is_short'],
    ['an empty key', { ordering_key: `''` }, 'ordering_key_is_not_empty'],
    ['headers that are no object', { headers: `'[1]'` }, 'headers_are_an_object'],
    ['two bodies', { payload_binary: `'x'` }, 'payload_is_text_or_binary'],
    ['no body', { payload: 'null' }, 'payload_is_text_or_binary'],
  ] as const
  const write = (table: string, change: Readonly<Record<string, string>>): Promise<unknown> => {
    const due = table === 'messages' ? {} : { available_at: 'now()' }
    const row = { topic: `'t'`, type: `'x'`, payload: `'{}'`, ...due, ...change }
    const [columns, values] = [Object.keys(row).join(), Object.values(row).join()]
    return bench.pool.query(`insert into malote.${table} (${columns}) values (${values})`)
  }
  /** The same row by the functions that add, which give the lane and so have to look at the rules themselves. */
  const call = (name: 'add_message' | 'add_messages', change: Readonly<Record<string, string>>): Promise<unknown> => {
    const id = 'gen_random_uuid()::text'
    const { topic, type, ordering_key, payload, payload_binary, content_type, headers } = {
      topic: `'t'`,
      type: `'x'`,
      ordering_key: 'null',
      payload: `'{}'`,
      payload_binary: 'null',
      content_type: `'application/json'`,
      headers: 'null',
      ...change,
    }
    return bench.pool.query(
      name === 'add_message'
        ? `select malote.add_message(${[id, topic, type, ordering_key, payload, content_type, headers].join()})`
        : `select malote.add_messages(json_build_array(json_build_object('id', ${id}, 'topic', ${topic}, 'type', ${type},
            'ordering_key', ${ordering_key}, 'payload', ${payload}, 'payload_base64', encode(${payload_binary}, 'base64'),
            'content_type', ${content_type}, 'headers', ${headers}::json))::text)`,
    )
  }

  it.each(rules)('to scheduled_messages does not include %s', async (_what, change, constraint) => {
    await expect(write('scheduled_messages', change)).rejects.toMatchObject({ code: '23514', constraint })
  })

  it.each(rules)('to messages does not include %s, in whatever way', async (_what, change, constraint) => {
    const refused = { code: '23514', table: 'messages', constraint }
    const set = Object.entries(change).map(([column, value]) => `${column} = ${value}`)
    await expect(write('messages', change)).rejects.toMatchObject(refused)
    await expect(call('add_messages', change)).rejects.toMatchObject(refused)
    if (!('payload_binary' in change)) await expect(call('add_message', change)).rejects.toMatchObject(refused)
    expect(await bench.count('messages')).toBe(0)

    await write('messages', {})
    await expect(bench.pool.query(`update malote.messages set ${set.join()}`)).rejects.toMatchObject(refused)
  })

  it('to messages includes neither attempts below 0 nor a lane, in a new message or in one that is there', async () => {
    const [below, lane] = [{ code: '23514', constraint: 'attempts_is_not_negative' }, { code: '428C9' }]
    await expect(write('messages', { attempts: '-1' })).rejects.toMatchObject(below)
    await expect(write('messages', { lane: '3' })).rejects.toMatchObject(lane)
    await write('messages', {})
    await expect(bench.pool.query('update malote.messages set attempts = attempts - 1')).rejects.toMatchObject(below)
    await expect(bench.pool.query('update malote.messages set lane = 3')).rejects.toMatchObject(lane)
  })

  it.each(tables)('to %s includes texts of just as many characters as are allowed', async (table) => {
    const longest = `repeat('ä', 255)`
    const row = { topic: longest, type: longest, content_type: longest, ordering_key: longest }
    await write(table, row)
    expect(await bench.count(table)).toBe(1)
    for (const name of ['add_message', 'add_messages'] as const) await call(name, row)
  })

  it('does not include a topic of two lines, with which two orders could share a name', async () => {
    await expect(
      bench.pool.query(`insert into malote.messages (topic, type, payload) values (e'a\\nb', 'x', '{}')`),
    ).rejects.toMatchObject({ constraint: 'topic_is_one_line' })
    const client = await bench.database.client()
    await client.query('begin')
    await expect(createOutbox().add(client, aMessage({ topic: 'a\nb' }))).rejects.toMatchObject({
      code: 'INVALID_MESSAGE',
    })
  })
})
