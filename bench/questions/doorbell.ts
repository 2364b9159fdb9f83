import { migrate } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark, Row } from '../harness/benchmark.ts'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { loadTool, serverRate } from '../peers/pgbench.ts'

const relays = 4

export const doorbell: Benchmark = {
  name: 'doorbell',
  question: 'What does looking at the doorbell cost commits while every relay is awake?',
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    await prepare(database)
    const figures: Record<string, ReturnType<typeof figuresOf>[string]> = {}
    const rows: Row[] = []
    for (const clients of [8, 32]) {
      const measure = (name: string) => async (): Promise<number> => {
        await database.admin.query('truncate malote.messages')
        return serverRate({
          url: database.url,
          statements: [statement(name)],
          clients,
          seconds: scale < 1 ? 1 : 2,
        })
      }
      const names = {
        doorbell: `doorbell, ${String(clients)}`,
        silent: `no notify, ${String(clients)}`,
        always: `always notify, ${String(clients)}`,
      }
      const samples = await alternate(
        rounds,
        {
          [names.doorbell]: measure('add_message'),
          [names.silent]: measure('add_silently'),
          [names.always]: measure('add_loudly'),
        },
        log,
      )
      Object.assign(figures, figuresOf(samples, 'commits/s'))
      rows.push(
        ratioRow(
          `no-notify-${String(clients)}`,
          `commits with the doorbell ÷ without any notify, ${String(clients)} clients`,
          ratioOf(samples[names.doorbell], samples[names.silent]),
          atLeast(0.97),
        ),
        ratioRow(
          `always-notify-${String(clients)}`,
          `commits with the doorbell ÷ with a notify in each, ${String(clients)} clients`,
          ratioOf(samples[names.doorbell], samples[names.always]),
          null,
        ),
      )
    }
    await database.drop()
    return {
      figures,
      rows,
      runs: rounds,
      notes: [
        `Driven by ${loadTool}: one transaction is one call of the SQL function behind \`add\`, or of a copy of it that never or always notifies.`,
      ],
    }
  },
}

/** How `add_message` ends. */
const look = /perform from malote\.doorbell[^]*ring_doorbell\(\);/

/** Live relays that are awake, as they are under load, and two copies of `add_message` that differ in the bell only. */
async function prepare({ admin }: BenchDatabase): Promise<void> {
  await migrate(admin)
  await admin.query(
    `insert into malote.relays (id, name, lease_until) select gen_random_uuid(), 'bench', now() + interval '1 day' from generate_series(1, $1)`,
    [relays],
  )
  await admin.query('insert into malote.doorbell (relay, asleep) select id, false from malote.relays')
  const { rows } = await admin.query<{ body: string }>(
    `select pg_get_functiondef('malote.add_message'::regproc) as body`,
  )
  const original = rows[0]?.body ?? ''
  for (const [name, ending] of [
    ['add_silently', 'return false;'],
    ['add_loudly', `perform pg_notify('malote', ''); return true;`],
  ] as const)
    await admin.query(
      original
        .replace('malote.add_message(', `malote.${name}(`)
        .replaceAll('add_message.', `${name}.`)
        .replace(look, ending),
    )
}

function statement(name: string): string {
  return `select malote.${name}(gen_random_uuid()::text, '${topic}', '${type}', null, '${payloadText}', 'application/json', null)`
}
