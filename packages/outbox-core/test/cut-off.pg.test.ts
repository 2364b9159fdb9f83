import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createOutbox, createTopics, type CutOff, cutOff } from '../src/index.ts'
import { scaled } from '@malote/testing/slowness'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

let bench: RelayBench
const clients: pg.Client[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  // What a failed case left prepared would keep every table locked.
  const { rows } = await bench.pool.query('select gid from pg_prepared_xacts where database = current_database()')
  for (const { gid } of rows) await bench.pool.query(`rollback prepared '${String(gid)}'`)
  await Promise.all(clients.splice(0).map((client) => client.end()))
  await bench.reset()
  await bench.pool.query('truncate malote.paused_topics')
})
afterAll(() => bench.database.drop())

async function begin(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: bench.urlAs.writer, application_name: 'a-writer' })
  await client.connect()
  clients.push(client)
  await client.query('begin')
  return client
}

/** A cut-off under way, and what it says of itself meanwhile. */
function watched(options: Parameters<typeof cutOff>[1] = {}): {
  readonly result: Promise<CutOff>
  readonly said: CutOff[]
  isOver: boolean
} {
  const said: CutOff[] = []
  const watching = {
    said,
    isOver: false,
    result: cutOff(bench.as.reader, { ...options, onProgress: (progress) => said.push(progress) }).finally(() => {
      watching.isOver = true
    }),
  }
  return watching
}

describe('a cut-off waits', () => {
  it('for a transaction that had begun and had not written yet, and names it', async () => {
    const { relay, broker } = bench.relay()
    relay.start()
    const writer = await begin()

    const cut = watched()
    await eventually(async () => expect(cut.said.at(-1)?.openTransactions).toMatchObject([{ application: 'a-writer' }]))
    const [id] = await createOutbox().addAll(writer, [aMessage()])
    await writer.query('commit')
    const result = await cut.result

    expect(broker.accepted.map((message) => message.id)).toContain(id)
    expect(result).toMatchObject({ isComplete: true, openTransactions: [], left: [] })
  })

  it('for no transaction that begins later', async () => {
    const { relay, broker } = bench.relay()
    await bench.add(aMessage())
    const cut = watched()
    await eventually(async () => expect(cut.said).not.toEqual([]))
    const later = await begin()
    await createOutbox().add(later, aMessage())
    relay.start()

    expect(await cut.result).toMatchObject({ isComplete: true })
    expect(broker.accepted).toHaveLength(1)
  })

  it('for a transaction that is prepared meanwhile, until somebody commits it', async () => {
    const { relay, broker } = bench.relay()
    const writer = await begin() // No relay is asleep yet: what rings a doorbell cannot be prepared.
    await createOutbox().add(writer, aMessage())
    const cut = watched()
    await eventually(async () => expect(cut.said).not.toEqual([]))
    await writer.query(`prepare transaction 'half'`)
    await eventually(async () => expect(cut.said.at(-1)?.openTransactions).toMatchObject([{ pid: null }]))
    expect(cut.isOver).toBe(false)
    await writer.query(`commit prepared 'half'`)
    relay.start()

    expect(await cut.result).toMatchObject({ isComplete: true })
    expect(broker.accepted).toHaveLength(1)
  })

  it('for messages whose time has come, through an outage of the broker and a retry', async () => {
    const { relay, broker } = bench.relay()
    broker.goDown()
    await bench.add(aMessage({ delayMs: 1 }), aMessage())
    relay.start()
    let isRefused = false
    broker.failWith(() => {
      if (isRefused) return null
      isRefused = true
      return { kind: 'retryable', code: 'NO', message: 'not now' }
    })
    const cut = watched()
    await eventually(async () => expect(cut.said.at(-1)?.left).toMatchObject([{ state: 'unpublished' }]))
    broker.goUp()

    expect(await cut.result).toMatchObject({ isComplete: true, left: [] })
    expect(new Set(broker.accepted.map(({ id }) => id)).size).toBe(2)
  })

  it('no longer than it is told, and says what is left', async () => {
    await bench.add(aMessage(), aMessage({ topic: 'bills' }))

    const result = await cutOff(bench.as.reader, { timeoutMs: 0, topic: 'bills' })

    expect(result).toMatchObject({
      isComplete: false,
      left: [{ state: 'unpublished', topic: 'bills', messages: 1, oldestAt: expect.any(Date) }],
    })
  })
})

it('a cut-off names what is dead, held, paused and scheduled, and waits for none of it', async () => {
  const { relay, broker, observer } = bench.relay()
  broker.failWith(({ type }) => (type === 'bad' ? { kind: 'permanent', code: 'NO', message: 'never' } : null))
  await createTopics({ db: bench.as.operator }).pause('paused', { by: 'ana', reason: 'a test' })
  const key = { orderingKey: 'k' }
  await bench.add(aMessage({ type: 'bad', ...key }), aMessage(key), aMessage(), aMessage({ topic: 'paused' }))
  await bench.add(aMessage({ delayMs: 600_000 }))
  relay.start()
  await observer.waitFor('key.held')

  const { isComplete, left } = await cutOff(bench.as.reader)

  expect(isComplete).toBe(true)
  expect(left.map(({ state, topic, messages }) => [state, topic, messages])).toEqual([
    ['dead', 'orders', 1],
    ['held', 'orders', 1],
    ['paused', 'paused', 1],
    ['scheduled', 'orders', 1],
  ])
  expect(broker.accepted).toHaveLength(1)
})

it('no cut-off claims what is not true, while writers write and relays, sessions and the broker fail', async () => {
  const seed = Number(process.env['MALOTE_SEED'] ?? Date.now() % 1_000_000)
  const random = randomOf(seed)
  const isDead = new Set<string>()
  const accepted = new Set<string>()
  const committed = new Set<string>()
  const isSettled = (id: string): boolean => accepted.has(id) || isDead.has(id)
  const over = new AbortController()
  /** Transactions whose BEGIN was answered. */
  const begun: { readonly ids: readonly string[]; readonly ended: Promise<void> }[] = []
  const pool = () => bench.relayPool({ application_name: 'a-relay' })
  const relays = [bench.relay({ pool: pool() }), bench.relay({ pool: pool() })]
  for (const { relay, broker } of relays) {
    broker.failWith((message) => {
      const draw = random()
      if (draw < 0.03) return { kind: 'retryable', code: 'NO', message: 'not now' }
      if (draw < 0.04) {
        isDead.add(message.id)
        return { kind: 'permanent', code: 'NEVER', message: 'never' }
      }
      accepted.add(message.id)
      return null
    })
    relay.start()
  }
  const write = async (): Promise<void> => {
    const client = await bench.pool.connect()
    while (!over.signal.aborted) {
      await client.query('begin')
      const ids: string[] = []
      const { promise: ended, resolve: end } = Promise.withResolvers<void>()
      begun.push({ ids, ended })
      if (random() < 0.3) await client.query('select pg_sleep($1)', [random() / 4])
      ids.push(...(await createOutbox().addAll(client, [aMessage(), aMessage()])))
      if (random() < 0.3) await client.query('select pg_sleep($1)', [random() / 4])
      await client.query('commit')
      for (const id of ids) committed.add(id)
      end()
    }
    client.release()
  }
  const spoil = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const before = [...committed].filter((id) => !isSettled(id))
      await bench.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'a-relay' and datname = current_database()
          order by random() limit 1`,
      )
      for (const { broker } of relays) if (random() < 0.5) broker.goDown()
      await bench.pool.query('select pg_sleep($1)', [random() / 5])
      for (const { broker } of relays) broker.goUp()
      await bench.pool.query('select pg_sleep($1)', [random() / 3])
      // Not hurt again before it has recovered: a slow machine would fall behind its writers for ever, and no cut-off would end.
      while (!before.every(isSettled) && !over.signal.aborted) await bench.pool.query('select pg_sleep(0.02)')
    }
  }
  const work = Promise.all([write(), write(), write(), spoil()])
  const claims: (Omit<CutOff, 'at'> & { readonly missing: readonly string[] })[] = []
  try {
    while (claims.length < 8) {
      const before = [...begun]
      const { at: _, ...claim } = await cutOff(bench.as.reader, { timeoutMs: scaled(20_000) })
      const settled = new Set([...accepted, ...isDead])
      await Promise.all(before.map(({ ended }) => ended))
      claims.push({ ...claim, missing: before.flatMap(({ ids }) => ids.filter((id) => !settled.has(id))) })
    }
  } finally {
    over.abort()
    await work
  }

  expect({ seed, claims: claims.filter(({ isComplete, missing }) => !isComplete || missing.length > 0) }).toEqual({
    seed,
    claims: [],
  })
  expect(begun.length).toBeGreaterThan(20)
})

/** The same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296
    return state / 4_294_967_296
  }
}
