import { Logger, makeWorkerUtils, run, runMigrations } from 'graphile-worker'
import { payload, payloadText } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
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
  const utils = await makeWorkerUtils({ pgPool: database.pool({ max: 2 }), logger: quiet })
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
  await runMigrations({ pgPool: database.admin, logger: quiet })
  return {
    name: 'graphile-worker',
    fill: async (count) => {
      const { admin } = database
      await admin.query(`truncate ${schema}._private_jobs`)
      await admin.query(`insert into ${schema}._private_tasks (identifier) values ('order') on conflict do nothing`)
      // What add_jobs inserts, in one statement: filling is not what is measured.
      await admin.query(
        `insert into ${schema}._private_jobs (task_id, payload)
         select (select id from ${schema}._private_tasks where identifier = 'order'), $1::json from generate_series(1, $2)`,
        [payloadText, count],
      )
      await admin.query(`vacuum analyze ${schema}._private_jobs`)
    },
    start: async (onMessages) => {
      const runner = await run({
        pgPool: database.pool({ max: 26 }),
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
