import { migrate } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import type { BenchServer } from '../harness/server.ts'
import { atLeast, figuresOf, outrun, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drain } from '../peers/drainer.ts'
import { createGraphileDrainer, graphileConfiguration } from '../peers/graphile-worker.ts'
import { createMaloteDrainer } from '../peers/malote.ts'
import { createPgBossDrainer, pgBossConfiguration } from '../peers/pg-boss.ts'
import {
  createPgTransactionalOutboxDrainer,
  pgTransactionalOutboxConfiguration,
} from '../peers/pg-transactional-outbox.ts'
import { loadTool } from '../peers/pgbench.ts'
import { createRiverDrainer, riverConfiguration, whyNoRiver } from '../peers/river.ts'
import { drainWithServer } from '../peers/server-limit.ts'

/** By how much to beat whom. */
const targets = { 'graphile-worker': 2, 'pg-boss': 3, 'pg-transactional-outbox': 50, 'server-limit': 0.6 } as const

/** Where the name alone does not say who it is. */
const names: Readonly<Record<string, string>> = { 'server-limit': 'two statements in a loop, by pgbench' }

/** Promised of nobody, and worth knowing: the fastest queue outside Node. */
const river = 'river'

/** It would need minutes for the whole backlog: it is rated by what it does in this time, with the backlog in the table. */
const slowPeerCapMs = 4_000

export const drainQuestion: Benchmark = {
  name: 'drain',
  question: 'How fast is a backlog of 100,000 messages emptied into a handler that does nothing?',
  run: async ({ server, rounds, scale, log }) => {
    const noRiver = whyNoRiver()
    const samples = await alternate(rounds, await contestants(server, 100_000 * scale), log)
    const ours = samples['malote']
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        ...Object.entries(targets).map(([name, bound]) =>
          ratioRow(name, `drain ÷ ${name}`, ratioOf(ours, samples[name]), atLeast(bound), outrun(names[name] ?? name)),
        ),
        ...(samples[river] === undefined
          ? []
          : [ratioRow(river, 'drain ÷ river', ratioOf(ours, samples[river]), null, outrun('River'))]),
        ratioRow(
          'async-settles',
          'drain with durable settles ÷ with `durableSettles: false`',
          ratioOf(ours, samples['malote, async settles']),
          null,
        ),
        ratioRow(
          'archive',
          'drain with `afterPublish: archive` ÷ with `delete`',
          ratioOf(samples['malote, archived'], ours),
          null,
        ),
      ],
      runs: rounds,
      notes: [
        'All commits durable, the relay’s too (`durableSettles: true`; its default is false, shown beside it).',
        `graphile-worker: ${graphileConfiguration}.`,
        `pg-boss: ${pgBossConfiguration}.`,
        `pg-transactional-outbox: ${pgTransactionalOutboxConfiguration}; rated by its first ${String(slowPeerCapMs / 1000)} s.`,
        noRiver === null ? `River: ${riverConfiguration}.` : `River: not run, ${noRiver}.`,
        `server-limit: ${loadTool}, 2 workers that claim and delete 500 at a time.`,
      ],
    }
  },
}

async function contestants(server: BenchServer, count: number): Promise<Record<string, () => Promise<number>>> {
  const limit = await server.database()
  await migrate(limit.admin)
  const durable = await createMaloteDrainer(await server.database())
  const asynchronous = await createMaloteDrainer(await server.database(), { relay: { durableSettles: false } })
  const archived = await createMaloteDrainer(await server.database(), { relay: { afterPublish: 'archive' } })
  const graphile = await createGraphileDrainer(await server.database())
  const boss = await createPgBossDrainer(await server.database())
  const outbox = await createPgTransactionalOutboxDrainer(await server.database())
  const goes = whyNoRiver() === null ? await createRiverDrainer(await server.database()) : null
  return {
    malote: () => drain(durable, { count }),
    'graphile-worker': () => drain(graphile, { count }),
    ...(goes === null ? {} : { [river]: () => drain(goes, { count }) }),
    'server-limit': () => drainWithServer(limit, count),
    'pg-boss': () => drain(boss, { count }),
    'malote, async settles': () => drain(asynchronous, { count }),
    'malote, archived': () => drain(archived, { count }),
    'pg-transactional-outbox': () => drain(outbox, { count, capMs: slowPeerCapMs }),
  }
}
