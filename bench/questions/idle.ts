import { createRelay, migrate, type RelayPool } from '@malote/outbox-core'
import type pg from 'pg'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { atMost, figureRow, figuresOf, spreadOf } from '../harness/statistics.ts'
import { noopPublisher } from '../peers/malote.ts'

const relays = 4
const seconds = 4

export const idle: Benchmark = {
  name: 'idle',
  question: 'What do four relays cost that have nothing to do?',
  run: async ({ server, rounds, log }) => {
    const database = await server.database()
    await migrate(database.admin)
    const counter = { statements: 0 }
    const started = Array.from({ length: relays }, () => {
      const pool = database.pool({ max: 5 })
      const relay = createRelay({ pool: counting(pool, counter), publisher: noopPublisher(() => {}) })
      relay.start()
      return { pool, relay }
    })
    // Lanes are shared out and everyone has gone to sleep by then.
    await new Promise((resolve) => setTimeout(resolve, 5_000))
    const cpuShares: number[] = []
    const samples = await alternate(
      rounds,
      {
        'statements per relay': async () => {
          const [before, cpuBefore] = [counter.statements, process.cpuUsage()]
          await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
          const { user, system } = process.cpuUsage(cpuBefore)
          cpuShares.push((100 * (user + system)) / 1e6 / seconds / relays)
          return (counter.statements - before) / seconds / relays
        },
      },
      log,
    )
    await Promise.all(started.map(async ({ relay, pool }) => relay.stop().then(() => pool.end())))
    await database.drop()
    const statements = figuresOf(samples, 'statements/s')['statements per relay']
    const cpu = { ...spreadOf(cpuShares), unit: '%' as const }
    return {
      figures: { ...figuresOf(samples, 'statements/s'), 'node CPU per relay': cpu },
      rows: [
        ...(statements === undefined
          ? []
          : [
              figureRow(
                'statements',
                'statements of an idle relay, four of them running',
                statements,
                atMost(5, ' statements/s'),
              ),
            ]),
        figureRow('cpu', 'node CPU of an idle relay, four of them running', cpu, atMost(1, ' %')),
      ],
      runs: rounds,
    }
  },
}

/** The pool, with every statement counted that goes through it. */
function counting(pool: pg.Pool, counter: { statements: number }): RelayPool {
  return {
    connect: async () => {
      const client = await pool.connect()
      const query = client.query.bind(client) as (...args: unknown[]) => unknown
      return Object.assign(client, {
        query: (...args: unknown[]) => {
          counter.statements++
          return query(...args)
        },
      })
    },
  }
}
