import { createRelay, migrate } from '@malote/outbox-core'
import type { Benchmark } from '../harness/benchmark.ts'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase, BenchServer } from '../harness/server.ts'
import { atLeast, atMost, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { alternate } from '../harness/alternate.ts'
import { partlyDeadPublisher } from '../peers/dead-destinations.ts'
import { fillMessages } from '../peers/malote.ts'
import { type Contestant, latencySamples, maloteRig } from './latency.ts'

/** Long enough for a relay to have read past what is dead, which it does once. */
const settlingMs = 3_000

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const fillOthers = ({ admin }: BenchDatabase, count: number, destinations: number, state: string): Promise<unknown> =>
  admin.query(
    `insert into malote.messages (topic, type, ordering_key, payload)
     select $5::text || n % $1::integer, $2, 'account-' || n % 1000, $3 from generate_series(1, $4::integer) as n`,
    [destinations, type, payloadText, count, `${state}-`],
  )

const fillDead = (database: BenchDatabase, count: number, destinations: number): Promise<unknown> =>
  fillOthers(database, count, destinations, 'dead')

/** A relay that has found out which destinations are dead, if they are, with more coming for them all the time. */
async function beside(server: BenchServer, destinations: number, state = 'dead'): Promise<Contestant> {
  const fill = (database: BenchDatabase, count: number): Promise<unknown> =>
    destinations > 0 ? fillOthers(database, count, destinations, state) : Promise.resolve()
  const { rig, client, database } = await maloteRig(server, {
    prepare: (prepared) => fill(prepared, 1_000 * destinations),
    publisher: (onMessages) =>
      partlyDeadPublisher((accepted) => onMessages(accepted.filter((message) => message.topic === topic))),
  })
  const start: Contestant['rig']['start'] = async (onArrival) => {
    const worker = await rig.start(onArrival)
    await pause(settlingMs)
    let adding: Promise<unknown> = Promise.resolve()
    const timer = setInterval(() => {
      adding = adding.then(() => fill(database, destinations))
    }, 100)
    const stop = async (): Promise<void> => {
      clearInterval(timer)
      await adding
      await worker.stop()
    }
    return { stop }
  }
  return { rig: { ...rig, start }, client }
}

export const deadDestinations: Benchmark = {
  name: 'dead-destinations',
  question: 'Do ten destinations that take nothing make the messages of a healthy one wait?',
  run: async ({ server, rounds, scale, log }) => {
    const contestants = {
      'ten dead': await beside(server, 10),
      'ten alive': await beside(server, 10, 'alive'),
      alone: await beside(server, 0),
    }
    // Of fewer messages the p99 is one of the four slowest: chance.
    const samples = await latencySamples(contestants, Math.max(200, 1_200 * scale), { rounds, log })
    return {
      figures: figuresOf(samples, 'ms'),
      rows: [
        ratioRow(
          'alone-p99',
          'COMMIT → publish beside ten dead destinations, p99 ÷ alone',
          ratioOf(samples['ten dead p99'], samples['alone p99']),
          atMost(1.5),
        ),
      ],
      runs: rounds,
      notes: [
        '100 messages a second for the healthy destination, and 100 a second for the dead ones, which have 1,000 messages each.',
        'Ten alive: the same messages for ten destinations that take them, which tells what the database and the machine make of the traffic alone.',
      ],
    }
  },
}

interface Steady {
  /** Adds this many for the healthy destination in one transaction. @returns messages a second, from the first published to the last settled */
  drain(count: number): Promise<number>
  stop(): Promise<void>
}

/** A relay that goes on from one measurement to the next. */
async function steadyRelay(database: BenchDatabase): Promise<Steady> {
  const pool = database.pool({ max: 5 })
  const outage = Promise.withResolvers<void>()
  let [published, settled, firstMs] = [0, 0, 0]
  let onSettled = (): void => {}
  const relay = createRelay({
    pool,
    durableSettles: true,
    publisher: partlyDeadPublisher(({ length }) => {
      if (published === 0) firstMs = performance.now()
      published += length
    }),
    onEvent: (event) => {
      if (event.type === 'outage.started') outage.resolve()
      if (event.type !== 'batch.settled') return
      settled += event.messages
      onSettled()
    },
  })
  relay.start()
  await outage.promise
  await pause(settlingMs)
  return {
    drain: async (count) => {
      ;[published, settled] = [0, 0]
      const { promise, resolve } = Promise.withResolvers<void>()
      onSettled = () => settled >= count && resolve()
      await fillMessages(database, count, '10k')
      await promise
      return (count * 1000) / (performance.now() - firstMs)
    },
    stop: () => relay.stop().then(() => pool.end()),
  }
}

export const deadBacklog: Benchmark = {
  name: 'dead-backlog',
  question: 'Does a million messages behind a destination that takes nothing slow down the others?',
  run: async ({ server, rounds, scale, log }) => {
    const [count, dead] = [Math.round(100_000 * scale), Math.round(1_000_000 * scale)]
    const relays: Record<string, Steady> = {}
    // One message of a dead topic in the one that is compared with: the same breaker, and the same probes.
    for (const [name, backlog] of [
      ['1 M dead', dead],
      ['one dead', 1],
    ] as const) {
      const database = await server.database()
      await migrate(database.admin)
      await fillDead(database, backlog, 1)
      await database.admin.query('vacuum analyze malote.messages')
      relays[name] = await steadyRelay(database)
    }
    const samples = await alternate(
      rounds,
      Object.fromEntries(Object.entries(relays).map(([name, relay]) => [name, () => relay.drain(count)])),
      log,
    )
    for (const relay of Object.values(relays)) await relay.stop()
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        ratioRow(
          'one-dead',
          'drain beside 1 M messages of a dead destination ÷ beside one',
          ratioOf(samples['1 M dead'], samples['one dead']),
          atLeast(0.9),
        ),
      ],
      runs: rounds,
      notes: ['Of relays that have read past what is dead, which each relay does once for the lanes it takes over.'],
    }
  },
}
