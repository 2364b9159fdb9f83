import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { eventually } from '@malote/outbox-core/testing'
import { connect } from 'amqplib'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'

const brokerUrl = inject('rabbitmqUrl')
const template = fileURLToPath(new URL('../../packages/create-malote/template/src', import.meta.url))
/** What the quickstart of the README makes in its database: a reader who goes on from it to the service keeps the database. */
const tablesOfQuickstart = readFileSync(new URL('quickstart.mjs', import.meta.url), 'utf8').match(/create table [^`]+/g)
/** Inside of `docs`, so that the service finds the packages it would have installed. */
const homes = fileURLToPath(new URL('../.malote', import.meta.url))

let database: TestDatabase
let home: string
let program: ChildProcess
let exited: Promise<unknown[]>
const [lines, errors]: [string[], string[]] = [[], []]

const seen = (line: RegExp): Promise<string> =>
  eventually(
    () => {
      const match = lines.map((one) => line.exec(one)).find((found) => found !== null)
      expect([match === undefined, lines, errors]).toEqual([false, lines, errors])
      return match?.[1] ?? ''
    },
    { patienceMs: 40_000 },
  )

beforeEach(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  expect(tablesOfQuickstart).toHaveLength(2)
  await database.pool().query((tablesOfQuickstart ?? []).join(';'))
  mkdirSync(homes, { recursive: true })
  home = mkdtempSync(join(homes, 'template-'))
  cpSync(template, join(home, 'src'), { recursive: true })
  lines.length = errors.length = 0
  const env = { ...process.env, DATABASE_URL: database.url, AMQP_URL: brokerUrl, PORT: '0' }
  program = spawn(process.execPath, ['--conditions=@malote/source', 'src/main.js'], {
    cwd: home,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  exited = once(program, 'exit')
  createInterface({ input: program.stdout as NodeJS.ReadableStream }).on('line', (line) => lines.push(line))
  createInterface({ input: program.stderr as NodeJS.ReadableStream }).on('line', (line) => errors.push(line))
})
afterEach(async () => {
  program.kill('SIGKILL')
  await exited
  await database.drop()
  rmSync(home, { recursive: true })
  const connection = await connect(brokerUrl)
  const channel = await connection.createChannel()
  for (const queue of ['sales', 'sales.dead']) await channel.deleteQueue(queue)
  await channel.deleteExchange('my-service')
  await connection.close()
})

describe.skipIf(brokerUrl === '')(
  'the service of `npm create malote`, with RabbitMQ, in the database of the quickstart',
  () => {
    it('makes its queues, carries an order through them, answers a retry with the same order, and ends by Ctrl-C', async () => {
      const url = await seen(/(http:\S+\/orders)/)
      const order = (): Promise<Response> =>
        fetch(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': '"the-first-order-0001"' },
          body: '{"cents":1999}',
        })

      const [first, again] = [await order(), await order()]
      const { id } = (await first.json()) as { id: string }
      await seen(new RegExp(`^3\\. order ${id} is booked as a sale`))
      program.kill('SIGINT')

      expect(await again.json()).toEqual({ id })
      expect(await exited).toEqual([0, null])
      expect(lines.at(-1)).toBe('stopped: nothing lost, nothing half done')
      expect((await database.pool().query('select order_id, cents from sales')).rows).toEqual([
        { order_id: id, cents: 1999 },
      ])
    })
  },
)
