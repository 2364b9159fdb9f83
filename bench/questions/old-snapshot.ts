import { migrate } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark, Figure, Row } from '../harness/benchmark.ts'
import type { BenchDatabase, BenchServer } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow, type Samples } from '../harness/statistics.ts'
import type { Drainer } from '../peers/drainer.ts'
import { createGraphileDrainer } from '../peers/graphile-worker.ts'
import { createMaloteDrainer } from '../peers/malote.ts'
import { createPgBossDrainer } from '../peers/pg-boss.ts'

/** What keeps a transaction open during the whole run, and with it every row that was processed. */
const holders = {
  'read-only': 'begin isolation level repeatable read; select count(*) from bystander',
  'wrote-elsewhere': 'begin; insert into bystander values (1)',
  'wrote-to-outbox': `begin; select malote.add_message(gen_random_uuid()::text, 'late', 'late', null, '{}', 'application/json', null)`,
} as const

/** A peer that gets slower and slower is given up after this long and rated by what it did. */
const capMs = 4_000

export const oldSnapshot: Benchmark = {
  name: 'old-snapshot',
  question: 'What is left of the rate after 300,000 messages were processed while a transaction stayed open?',
  rounds: 3,
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const ours = await side(server, createMaloteDrainer)
    const samples = await alternate(
      rounds,
      {
        clean: () => ours(count, null),
        'read-only': () => ours(count, 'read-only'),
        'wrote-elsewhere': () => ours(count, 'wrote-elsewhere'),
        'wrote-to-outbox': () => ours(count, 'wrote-to-outbox'),
      },
      log,
    )
    const peers = await peerSamples(server, count, Math.min(rounds, 2), log)
    return {
      figures: { ...named('malote', samples), ...named('', peers) },
      rows: [
        row(samples, 'read-only', 'an old read-only snapshot'),
        row(samples, 'wrote-elsewhere', 'an idle transaction that wrote elsewhere'),
        row(samples, 'wrote-to-outbox', 'an idle transaction that wrote to the outbox'),
        ...['graphile-worker', 'pg-boss'].map((peer) =>
          ratioRow(
            `${peer} read-only`,
            `${peer} under an old read-only snapshot ÷ clean`,
            ratioOf(peers[`${peer} read-only`], peers[`${peer} clean`]),
            null,
          ),
        ),
      ],
      runs: rounds,
      notes: [
        'One relay runs throughout: three times 100 k unmeasured, then 100 k rated until the last was handed over.',
        `Peers: ${String(Math.min(rounds, 2))} rounds, each 100 k given up after ${String(capMs / 1000)} s.`,
      ],
    }
  },
}

function row(samples: Samples, holder: keyof typeof holders, label: string): Row {
  return ratioRow(
    holder,
    `after 300 k messages under ${label} ÷ clean`,
    ratioOf(samples[holder], samples['clean']),
    atLeast(0.8),
  )
}

function named(prefix: string, samples: Samples): Record<string, Figure> {
  return Object.fromEntries(
    Object.entries(figuresOf(samples, 'messages/s')).map(([name, figure]) => [`${prefix} ${name}`.trim(), figure]),
  )
}

async function peerSamples(
  server: BenchServer,
  count: number,
  rounds: number,
  log: (line: string) => void,
): Promise<Samples> {
  const graphile = await side(server, createGraphileDrainer)
  const boss = await side(server, createPgBossDrainer)
  return alternate(
    rounds,
    {
      'graphile-worker clean': () => graphile(count, null),
      'graphile-worker read-only': () => graphile(count, 'read-only'),
      'pg-boss clean': () => boss(count, null),
      'pg-boss read-only': () => boss(count, 'read-only'),
    },
    log,
  )
}

type Side = (count: number, holder: keyof typeof holders | null) => Promise<number>

async function side(server: BenchServer, create: (database: BenchDatabase) => Promise<Drainer>): Promise<Side> {
  const database = await server.database()
  await migrate(database.admin)
  await database.admin.query('create table bystander (n integer)')
  const drainer = await create(database)
  return async (count, holder) => {
    await drainer.clear()
    const client = await database.client()
    if (holder !== null) await client.query(holders[holder])
    const rate = await lastOfFour(drainer, count)
    await client.query('rollback')
    await client.end()
    return rate
  }
}

/** Feeds a running worker four times and gives the rate of the fourth. */
async function lastOfFour(drainer: Drainer, count: number): Promise<number> {
  let handled = 0
  let first = 0
  let notify = (): void => {}
  const worker = await drainer.start((messages) => {
    if (handled === 0) first = performance.now()
    handled += messages
    if (handled >= count) notify()
  })
  let rate = 0
  for (let feed = 0; feed < 4; feed++) {
    handled = 0
    const done = new Promise<void>((resolve) => (notify = resolve))
    await drainer.fill(count)
    await Promise.race([done, new Promise((resolve) => setTimeout(resolve, capMs))])
    rate = (handled * 1000) / (performance.now() - first)
  }
  await worker.stop()
  return rate
}
