import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import type { OutboxMessage, Publisher } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterAll(async () => {
  await bench.reset()
  await bench.database.drop()
})

/** What nobody holds any more is gone afterwards. */
const collectGarbage = (): void => {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

/** Remembers what it is shown without keeping it alive. */
function createWatch() {
  const seen: WeakRef<object>[] = []
  return {
    see: (one: object): void => void seen.push(new WeakRef(one)),
    get count(): number {
      return seen.length
    },
    alive: (among: number): number => seen.slice(0, among).filter((one) => one.deref() !== undefined).length,
  }
}

/** Accepts everything. */
const acceptAll = (see: (message: OutboxMessage) => void): Publisher => ({
  name: 'watched',
  publish: (batch) => {
    for (const message of batch) see(message)
    return Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' })))
  },
  close: () => Promise.resolve(),
})

/** A pool whose every answer is seen. */
function watchedPool(see: (answer: object) => void): pg.Pool {
  const pool = bench.relayPool()
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...statement: unknown[]) => Promise<object>
    const watched = async (...statement: unknown[]): Promise<object> => {
      const answer = await query(...statement)
      see(answer)
      return answer
    }
    Object.assign(client, { query: watched })
  })
  return pool
}

it('a relay keeps nothing of the messages that it has published, nor of what the database answered', async () => {
  const [messages, answers] = [createWatch(), createWatch()]
  const { relay } = bench.relay({
    pool: watchedPool(answers.see),
    publisher: acceptAll(messages.see),
    onEvent: () => {},
    pollIntervalMs: 20,
  })
  relay.start()
  for (let round = 1; round <= 5; round++) {
    await bench.add(...Array.from({ length: 50 }, (_, n) => aMessage({ orderingKey: `k${String(n % 7)}` })))
    await eventually(async () => expect(await bench.count('messages')).toBe(0))
    expect(messages.count).toBe(50 * round)
  }

  const answered = answers.count
  await eventually(() => {
    collectGarbage()
    expect([messages.alive(messages.count), answers.alive(answered)]).toEqual([0, 0])
  })
})
