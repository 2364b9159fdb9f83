import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { type PostgresService, startPostgres } from '@malote/testing/services/postgres'
import { type SqsService, sqsClient, startSqs } from '@malote/testing/services/sqs'
import { eventually } from '@malote/outbox-core/testing'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'

const credentials = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
let postgres: PostgresService
let sqs: SqsService
let database: TestDatabase
let pool: pg.Pool
let program: ChildProcess
let exited: Promise<unknown[]>

// A server of its own, because it is crashed: durable, or it would forget what was committed.
beforeAll(async () => {
  ;[postgres, sqs] = await Promise.all([startPostgres(), startSqs()])
})
afterAll(() => Promise.all([postgres.stop(), sqs.close()]))

beforeEach(async () => {
  database = await createTestDatabase(postgres.url)
  pool = database.pool()
  await pool.query(
    `create table orders (id text, cents int); create table balances (cents int); insert into balances values (150000)`,
  )
  const env = {
    ...process.env,
    ...credentials,
    AWS_ENDPOINT_URL: sqs.endpoint,
    DATABASE_URL: database.url,
    QUEUE_URL: await makeQueue('orders'),
    DEAD_LETTER_QUEUE_URL: await makeQueue('dead'),
  }
  program = fork(fileURLToPath(new URL('sqs-start.ts', import.meta.url)), {
    execArgv: ['--conditions=@malote/source'],
    env,
  })
  exited = once(program, 'exit')
  expect(await Promise.race([once(program, 'message'), exited])).toContain('running')
  await balanceIs(50_000)
})
afterEach(async () => {
  program.kill('SIGKILL')
  await exited
  await database.drop()
})

let queues = 0
async function makeQueue(name: string): Promise<string> {
  const unique = `${name}-${String(++queues)}`
  await sqsClient(sqs.endpoint).send(new CreateQueueCommand({ QueueName: unique }))
  return `${sqs.endpoint}/000000000000/${unique}`
}

const balanceIs = (cents: number): Promise<void> =>
  eventually(
    async () => {
      if (program.exitCode === null) expect((await pool.query('select cents from balances')).rows).toEqual([{ cents }])
    },
    { patienceMs: 40_000 },
  ).then(() => expect(program.exitCode).toBeNull())

/** One more order, as any client of the database may add it. */
const addOrder = (): Promise<unknown> =>
  pool.query(
    `insert into malote.messages (topic, type, ordering_key, payload) values ('orders', 'order.accepted', 'order-2', '{"cents":1000}')`,
  )

describe('the start with SQS, exactly as printed', () => {
  it('settles the balance of the order it accepts, once, and stops when told', async () => {
    program.send('stop')

    expect(await exited).toEqual([0, null])
    expect((await pool.query('select count(*)::int as left from malote.messages')).rows).toEqual([{ left: 0 }])
    expect((await pool.query('select cents from balances')).rows).toEqual([{ cents: 50_000 }])
  })

  it('goes on after its sessions are killed, each of them, over and over', async () => {
    for (let round = 1; round <= 5; round++) {
      await pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
      )
      await addOrder()
      await balanceIs(50_000 - round * 1_000)
    }
  })

  it('goes on after the database restarts', async () => {
    for (let round = 1; round <= 3; round++) {
      await postgres.stop('immediate')
      await postgres.start()
      await eventually(() => addOrder())
      await balanceIs(50_000 - round * 1_000)
    }
  })
  it('goes on after every table is emptied', async () => {
    for (let round = 1; round <= 2; round++) {
      await pool.query(
        `truncate malote.messages, malote.scheduled_messages, malote.relays, malote.lanes, malote.doorbell, malote.dead_letters, malote.held_keys restart identity`,
      )
      await addOrder()
      await balanceIs(50_000 - round * 1_000)
    }
  })
})
