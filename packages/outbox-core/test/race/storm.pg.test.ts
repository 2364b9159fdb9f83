import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually } from '../../src/testing/index.ts'
import { createRelayBench, type RelayBench, type StartedRelay } from '../relay-bench.ts'
import { createStormWorld, stormOptions } from './storm-world.ts'

let bench: RelayBench
/** Change it to meet another storm; a failure prints it. */
const seed = Number(process.env['MALOTE_SEED'] ?? Math.floor(Math.random() * 1_000_000))

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

describe(`in a storm (MALOTE_SEED=${String(seed)})`, () => {
  it('of relays that join and leave, nothing is lost, repeated or out of order, and no two send one key (race 14)', async () => {
    const world = await createStormWorld(bench, seed)
    const writers = world.startWriters(4, 20)
    const relays: StartedRelay[] = []
    const join = (): void => {
      const started = bench.relay({ ...stormOptions, publisher: world.publisher() })
      started.relay.start()
      relays.push(started)
    }
    join()
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 3; n++) join()
      await relays.at(-1)?.observer.waitFor('lanes.acquired')
      await Promise.all(relays.splice(0, 3).map(({ relay }) => relay.stop()))
    }
    await writers.stop()
    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    expect(world.findings()).toEqual({ lost: [], inversions: [], duplicates: 0, overlaps: [] })
  })

  it('of failures, outages and cut connections, nothing is lost and each key comes in order (race 22)', async () => {
    const world = await createStormWorld(bench, seed)
    const writers = world.startWriters(4, 10)
    const name = 'storm'
    for (let n = 0; n < 3; n++) {
      const pool = bench.relayPool({ application_name: name })
      const publisher = world.publisher({ failEach: 0.02, rejectEach: 0.02 })
      bench.relay({ ...stormOptions, pool, publisher }).relay.start()
    }
    for (let round = 0; round < 12; round++) {
      await new Promise((resolve) => setTimeout(resolve, 200 * world.random()))
      await bench.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 order by hashint4(pid + $2) limit 1`,
        [name, round],
      )
    }
    await writers.stop()
    await eventually(async () => expect(await bench.count('messages')).toBe(0), { patienceMs: 40_000 })

    const { lost, inversions } = world.findings()
    expect({ lost, inversions }).toEqual({ lost: [], inversions: [] })
  })

  it('of twelve writers, a relay that reads all the time misses nothing (the gate of the floor)', async () => {
    const world = await createStormWorld(bench, seed)
    const writers = world.startWriters(12, 1_000)
    const { relay } = bench.relay({ ...stormOptions, pollIntervalMs: 1, doorbell: false, publisher: world.publisher() })
    relay.start()
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    await writers.stop()
    await eventually(async () => expect(await bench.count('messages')).toBe(0))

    expect(world.findings()).toEqual({ lost: [], inversions: [], duplicates: 0, overlaps: [] })
  })
})
