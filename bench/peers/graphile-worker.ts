import { Logger, makeWorkerUtils, run, runMigrations } from 'graphile-worker'
import type pg from 'pg'
import { payload, payloadText } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import type { LatencyRig } from './latency-rig.ts'
import type { Drainer } from './drainer.ts'

const schema = 'graphile_worker'
const quiet = new Logger(() => () => {})

/**
 * The settings its performance page recommends for high throughput, found best here too: a local queue of 1,000, batched
 * completion, and enough concurrency to keep the queue busy.
 */
const tuned = {
  concurrentJobs: 24,
  localQueue: { size: 1_000 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
} as const

export const graphileConfiguration =
  'concurrentJobs 24, localQueue.size 1000, completeJobBatchDelay 0, failJobBatchDelay 0, maxPoolSize 26'

export interface GraphileProducer {
  addJobs(count: number): Promise<void>
  clear(): Promise<void>
  close(): Promise<void>
}

export async function createGraphileProducer(database: BenchDatabase): Promise<GraphileProducer> {
  const utils = await makeWorkerUtils({ pgPool: handledPool(database, 2), logger: quiet })
  await utils.migrate()
  return {
    addJobs: async (count) => {
      await utils.addJobs(Array.from({ length: count }, () => ({ identifier: 'order', payload })))
    },
    clear: async () => {
      await database.admin.query(`truncate ${schema}._private_jobs`)
    },
    close: () => Promise.resolve(utils.release()),
  }
}

export async function createGraphileDrainer(database: BenchDatabase): Promise<Drainer> {
  await runMigrations({ pgPool: handledPool(database, 1), logger: quiet })
  await database.admin.query(
    `insert into ${schema}._private_tasks (identifier) values ('order') on conflict do nothing`,
  )
  return {
    name: 'graphile-worker',
    clear: () => database.admin.query(`truncate ${schema}._private_jobs`),
    // What add_jobs inserts, in one statement, with the notification it sends.
    fill: (count) =>
      database.admin.query(
        `with added as (
           insert into ${schema}._private_jobs (task_id, payload)
           select (select id from ${schema}._private_tasks where identifier = 'order'), $1::json from generate_series(1, $2))
         select pg_notify('jobs:insert', json_build_object('r', random(), 'count', $2)::text)`,
        [payloadText, count],
      ),
    vacuum: () => database.admin.query(`vacuum analyze ${schema}._private_jobs`),
    start: async (onMessages) => {
      const runner = await run({
        pgPool: handledPool(database, 26),
        logger: quiet,
        noHandleSignals: true,
        preset: { worker: tuned },
        taskList: {
          order: () => {
            onMessages(1)
          },
        },
        crontab: '',
      })
      return { stop: () => runner.stop() }
    },
    isEmpty: async () => {
      const { rows } = await database.admin.query(`select not exists (select from ${schema}._private_jobs) as empty`)
      return rows[0].empty === true
    },
  }
}

/** It wants to see an error handler on every client, and prints a line where there is none. */
function handledPool(database: BenchDatabase, max: number): pg.Pool {
  return database.pool({ max }).on('connect', (client) => {
    client.on('error', () => {}) // The pool reports it; the run would fail on its next query.
  })
}

/** Its settings for latency: a local queue and batched completion trade it for throughput. */
export async function createGraphileLatencyRig(database: BenchDatabase): Promise<LatencyRig> {
  await runMigrations({ pgPool: handledPool(database, 1), logger: quiet })
  return {
    add: (client, sentAt) =>
      client.query(`select ${schema}.add_job('timed', $1::json)`, [JSON.stringify({ ...payload, sentAt })]),
    start: async (onArrival) => {
      const runner = await run({
        pgPool: handledPool(database, 12),
        logger: quiet,
        noHandleSignals: true,
        preset: { worker: { concurrentJobs: 10 } },
        taskList: {
          timed: (job) => {
            onArrival((job as { sentAt: number }).sentAt)
          },
        },
        crontab: '',
      })
      return { stop: () => runner.stop() }
    },
  }
}
