import { createOutbox, migrate } from '@malote/outbox-core'
import type pg from 'pg'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark, Row, Spread } from '../harness/benchmark.ts'
import { payload, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { figuresOf, outrun, ratioOf, ratioRow, type Samples, shareRow } from '../harness/statistics.ts'
import { createPlainestTable, plainestStatement, rawInsertOne } from '../peers/raw.ts'

/** Clients and the largest share of commits the message may cost them. */
const limits = [
  { clients: 1, lost: 0.3, lostInOneTrip: 0.1 },
  { clients: 8, lost: 0.35, lostInOneTrip: 0.25 },
] as const

export const commits: Benchmark = {
  name: 'commits',
  question: 'How many commits does a message beside each business row cost?',
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    await migrate(database.admin)
    await createPlainestTable(database.admin)
    await database.admin.query(
      'create table orders (id bigint generated always as identity primary key, body jsonb not null)',
    )
    const figures: Record<string, ReturnType<typeof figuresOf>[string]> = {}
    const rows: Row[] = []
    for (const limit of limits) {
      const samples = await commitRates(database, { clients: limit.clients, rounds, seconds: 1.2 * scale, log })
      Object.assign(figures, figuresOf(samples, 'commits/s'))
      rows.push(...rowsOf(samples, limit))
    }
    await database.drop()
    return {
      figures,
      rows,
      runs: rounds,
      notes: [
        'The transaction is BEGIN, the insert of an order, `add`, COMMIT: one statement per round trip.',
        'In one round trip: `outbox.statement` in the statement that inserts the order, against that statement alone; no BEGIN and no COMMIT in either, both prepared by name.',
        'The plainest table has what a message needs and nothing that guards it: no lane, no checks, no wake-up, one index. What it costs, any outbox in a table costs.',
        'The raw insert in place of `add` is the part of the loss that any outbox in a table has: a fourth round trip and a second row. What `add` itself costs is the ratio beside it.',
      ],
    }
  },
}

function rowsOf(samples: Samples, { clients, lost, lostInOneTrip }: (typeof limits)[number]): readonly Row[] {
  const ratio = (one: string, other: string): Spread =>
    ratioOf(samples[`${one}, ${String(clients)}`], samples[`${other}, ${String(clients)}`])
  const named = (name: string, what: string): [name: string, label: string] => [
    `${name}-${String(clients)}`,
    `${what}, ${String(clients)} ${clients === 1 ? 'client' : 'clients'}`,
  ]
  const [both, oneTrip] = ['order and message', 'order and message in one statement']
  const plainest = 'order and a row of the plainest table in one statement'
  return [
    shareRow(...named('order-alone', 'share of commits lost'), lostOf(ratio(both, 'order alone')), lost),
    shareRow(
      ...named('one-statement', 'share of commits lost in one round trip'),
      lostOf(ratio(oneTrip, 'order in one statement')),
      lostInOneTrip,
    ),
    shareRow(
      ...named('plainest-table', 'share of commits lost to a row of the plainest table in one round trip'),
      lostOf(ratio(plainest, 'order in one statement')),
      null,
    ),
    ratioRow(...named('four-statements', 'commits with both in one statement ÷ in four'), ratio(oneTrip, both), null),
    ratioRow(
      ...named('order-and-raw-insert', 'commits with `add` ÷ with a raw insert of the same row'),
      ratio(both, 'order and raw insert'),
      null,
      outrun('a raw insert of the same row'),
    ),
  ]
}

interface CommitOptions {
  readonly clients: number
  readonly rounds: number
  readonly seconds: number
  readonly log: (line: string) => void
}

async function commitRates(
  database: BenchDatabase,
  { clients, rounds, seconds, log }: CommitOptions,
): Promise<Samples> {
  const outbox = createOutbox()
  const connections = await Promise.all(Array.from({ length: clients }, () => database.client()))
  const measure = async (transaction: (client: pg.Client) => Promise<unknown>): Promise<number> => {
    await database.admin.query('truncate malote.messages, plainest, orders')
    return commitsPerSecond(connections, seconds, async (client) => {
      await client.query('begin')
      await transaction(client)
      await client.query('commit')
    })
  }
  const measureStatement = async (statement: (client: pg.Client) => Promise<unknown>): Promise<number> => {
    await database.admin.query('truncate malote.messages, plainest, orders')
    return commitsPerSecond(connections, seconds, statement)
  }
  const samples = await alternate(
    rounds,
    {
      [`order and message, ${String(clients)}`]: () =>
        measure(async (client) => {
          await insertOrder(client)
          await outbox.add(client, { topic, type, payload, orderingKey: payload['accountId'] as string })
        }),
      [`order and raw insert, ${String(clients)}`]: () =>
        measure(async (client) => {
          await insertOrder(client)
          await rawInsertOne(client, payload['accountId'] as string)
        }),
      [`order alone, ${String(clients)}`]: () => measure(insertOrder),
      [`order and message in one statement, ${String(clients)}`]: () =>
        measureStatement(async (client) => {
          const message = { topic, type, payload, orderingKey: payload['accountId'] as string }
          const { text, values } = await outbox.statement(message, { firstParameter: 2, prepared: true })
          const both = `with accepted as (insert into orders (body) values ($1)) ${text}`
          await client.query({ name: 'order and message', text: both, values: [JSON.stringify(payload), ...values] })
        }),
      [`order and a row of the plainest table in one statement, ${String(clients)}`]: () =>
        measureStatement((client) => {
          const { text, values } = plainestStatement(payload['accountId'] as string, 2)
          const both = `with accepted as (insert into orders (body) values ($1)) ${text}`
          return client.query({ name: 'order and plain row', text: both, values: [JSON.stringify(payload), ...values] })
        }),
      [`order in one statement, ${String(clients)}`]: () =>
        measureStatement((client) =>
          client.query({
            name: 'order',
            text: 'insert into orders (body) values ($1)',
            values: [JSON.stringify(payload)],
          }),
        ),
    },
    log,
  )
  await Promise.all(connections.map((client) => client.end()))
  return samples
}

async function commitsPerSecond(
  connections: readonly pg.Client[],
  seconds: number,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<number> {
  const start = performance.now()
  const counts = await Promise.all(
    connections.map(async (client) => {
      let count = 0
      for (; performance.now() - start < seconds * 1000; count++) await work(client)
      return count
    }),
  )
  return (counts.reduce((sum, count) => sum + count, 0) * 1000) / (performance.now() - start)
}

function insertOrder(client: pg.Client): Promise<unknown> {
  return client.query('insert into orders (body) values ($1)', [JSON.stringify(payload)])
}

function lostOf(kept: Spread): Spread {
  return { median: 1 - kept.median, min: 1 - kept.max, max: 1 - kept.min }
}
