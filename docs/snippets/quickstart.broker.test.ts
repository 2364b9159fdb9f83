import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { type SqsService, sqsClient, startSqs } from '@malote/testing/services/sqs'
import { eventually } from '@malote/outbox-core/testing'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'

const credentials = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
let database: TestDatabase
let sqs: SqsService

beforeAll(async () => {
  ;[database, sqs] = await Promise.all([createTestDatabase(inject('postgresUrl')), startSqs()])
})
afterAll(() => Promise.all([database.drop(), sqs.close()]))

async function makeQueue(name: string): Promise<string> {
  await sqsClient(sqs.endpoint).send(new CreateQueueCommand({ QueueName: name }))
  return `${sqs.endpoint}/000000000000/${name}`
}

it('the quickstart of the README settles the balance of the order it accepts, once', async () => {
  const pool = database.pool()
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

  const program = fork(fileURLToPath(new URL('quickstart.ts', import.meta.url)), {
    execArgv: ['--conditions=@malote/source'],
    env,
  })
  const exited = once(program, 'exit')
  expect(await Promise.race([once(program, 'message'), exited])).toContain('running')

  await eventually(async () =>
    expect((await pool.query('select cents from balances')).rows).toEqual([{ cents: 50_000 }]),
  )
  program.send('stop')
  expect(await exited).toEqual([0, null])
  expect((await pool.query('select count(*)::int as left from malote.messages')).rows).toEqual([{ left: 0 }])
})
