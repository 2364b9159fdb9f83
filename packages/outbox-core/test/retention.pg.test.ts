import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDeadLetters, listOperatorActions, type MaintenanceTask } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, type RelayBench } from './relay-bench.ts'
import { createRetentionBench, type RetentionBench } from './retention-bench.ts'

let retention: RetentionBench
let bench: RelayBench

beforeAll(async () => {
  retention = await createRetentionBench(inject('postgresUrl'))
  bench = retention.bench
})
afterEach(() => retention.reset())
afterAll(() => retention.close())

describe('old dead letters', () => {
  /** Dead for so many days, each holding its key. */
  const died = (days: number, count: number): Promise<unknown> =>
    bench.pool.query(
      `with dead as (
         insert into malote.dead_letters (id, seq, lane, topic, type, ordering_key, payload, content_type, created_at, attempts, reason, died_at)
         select gen_random_uuid(), n, 0, 'orders', 't', 'k' || n || '-' || $1, '{}', 'application/json', now(), 1, 'PERMANENT', now() - $1::int * interval '1 day'
         from generate_series(1, $2::int) as n returning *)
       insert into malote.held_keys (topic, ordering_key, dead_letter_id) select topic, ordering_key, dead_letter_id from dead`,
      [days, count],
    )

  it('are purged by the relay in small steps, with a note, and their keys go on', async () => {
    await died(40, 250)
    await died(3, 1)
    const { relay: started, observer } = retention.relay({ maintenance: { deadLetterDays: 30 }, name: 'relay-7' })
    started.start()

    expect(await observer.waitFor('maintenance.done')).toMatchObject({ task: 'dead letters', rows: 250 })

    expect([await bench.count('dead_letters'), await bench.count('held_keys')]).toEqual([1, 1])
    const actions = await listOperatorActions({ db: bench.as.operator })
    expect(actions.map(({ affected }) => affected)).toEqual([50, 100, 100])
    expect(actions[0]).toMatchObject({ operator: 'relay relay-7', action: 'purge', reason: 'older than 30 days' })
  })

  it('stay when nobody says otherwise', async () => {
    await died(4_000, 1)
    const { relay: started, broker } = retention.relay()
    started.start()
    await bench.add(aMessage())
    await broker.received(1)
    await started.stop()

    expect(await bench.count('dead_letters')).toBe(1)
  })

  it('are purged by hand in batches too', async () => {
    await died(40, 1_100)

    expect(await createDeadLetters({ db: bench.as.operator }).purge(30, { operator: 'ana' })).toBe(1_100)

    expect((await listOperatorActions({ db: bench.as.operator })).map(({ affected }) => affected)).toEqual([
      100, 500, 500,
    ])
  })
})

describe('a task of the application', () => {
  it('is run by one relay of many at a time, again and again, and a failure stops nothing', async () => {
    let running = 0
    let most = 0
    let runs = 0
    const task: MaintenanceTask = {
      name: 'inbox',
      run: async () => {
        most = Math.max(most, ++running)
        await bench.pool.query('select pg_sleep(0.03)')
        running--
        if (++runs === 2) throw new Error('the inbox is locked')
      },
    }
    const all = [1, 2, 3].map(() => retention.relay({ maintenance: { intervalMs: 10, tasks: [task] } }))
    for (const one of all) one.relay.start()

    await eventually(() => Promise.resolve(expect(runs).toBeGreaterThan(4)))
    await Promise.all(all.map((one) => one.relay.stop()))

    expect(most).toBe(1)
    const failed = all.flatMap(({ observer }) => observer.events).filter(({ type }) => type === 'maintenance.failed')
    expect(failed).toMatchObject([{ task: 'inbox', error: { message: 'the inbox is locked' } }])
  })

  it('has a name of its own', () => {
    const task = { name: 'archive', run: () => Promise.resolve() }
    expect(() => bench.relay({ maintenance: { tasks: [task] } })).toThrow(
      /two maintenance tasks have the name "archive"/,
    )
  })
})
