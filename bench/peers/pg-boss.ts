import { PgBoss } from 'pg-boss'
import { payloadText } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import type { Drainer } from './drainer.ts'

const queue = 'order'

/** `burstWhenBatchFull` fetches on without a pause while there is a backlog; the batch is the best of 100 to 2,000 here. */
const work = { batchSize: 1_000, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 } as const

export const pgBossConfiguration: string = `work() with ${JSON.stringify(work)}`

export async function createPgBossDrainer(database: BenchDatabase): Promise<Drainer> {
  const setup = await startBoss(database.url)
  await setup.createQueue(queue)
  await setup.stop({ graceful: false })
  return {
    name: 'pg-boss',
    clear: () => database.admin.query('truncate pgboss.job'),
    fill: (count) =>
      database.admin.query(
        `insert into pgboss.job (name, data, policy) select $1, $2::jsonb, 'standard' from generate_series(1, $3)`,
        [queue, payloadText, count],
      ),
    vacuum: () => database.admin.query('vacuum analyze pgboss.job'),
    start: async (onMessages) => {
      const boss = await startBoss(database.url)
      await boss.work(queue, work, (jobs) => {
        onMessages(jobs.length)
        return Promise.resolve()
      })
      return { stop: () => boss.stop({ graceful: true, timeout: 5_000 }) }
    },
    isEmpty: async () => {
      const { rows } = await database.admin.query(
        `select not exists (select from pgboss.job where name = $1 and state < 'completed') as empty`,
        [queue],
      )
      return rows[0].empty === true
    },
  }
}

/** Without supervision and schedules: their work is not what is measured. */
async function startBoss(connectionString: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString, max: 10, supervise: false, schedule: false })
  boss.on('error', (error) => console.error('pg-boss:', error))
  await boss.start()
  return boss
}
