import type { PublishResult } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drain, type Drainer } from '../peers/drainer.ts'
import { createMaloteDrainer, noopPublisher } from '../peers/malote.ts'

const blocked = 'blocked'

export const blockedKey: Benchmark = {
  name: 'blocked-key',
  question: 'Do a million messages behind one held ordering key slow down those of other keys?',
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const [full, none] = [await server.database(), await server.database()]
    const [relayOfFull, without] = [await drainer(full), await drainer(none)]
    await holdKey(full, relayOfFull, count * 10)
    const behind = besides(full, relayOfFull)
    const samples = await alternate(
      rounds,
      {
        '1 M behind a held key': () => drain(behind, { count, untilEmpty: false }),
        'none held': () => drain(without, { count, untilEmpty: false }),
      },
      log,
    )
    const { rows } = await full.admin.query('select count(*)::integer as left from malote.messages')
    if (rows[0].left !== count * 10) throw new Error(`${String(rows[0].left)} of the held messages are left`)
    await Promise.all([full.drop(), none.drop()])
    const ratio = ratioOf(samples['1 M behind a held key'], samples['none held'])
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [ratioRow('none-held', 'drain beside 1 M messages behind a held key ÷ with none', ratio, atLeast(0.8))],
      runs: rounds,
      notes: [
        'Rated from the first message handed over to the last. Each round is a new relay, which reads past the held million once.',
      ],
    }
  },
}

/** Refuses the first message of the blocked key for good, which holds the key until an operator decides. */
function drainer(database: BenchDatabase): Promise<Drainer> {
  const refusal = { kind: 'permanent', code: 'REFUSED', message: 'refused by the benchmark' } as const
  return createMaloteDrainer(database, {
    keys: '10k',
    relay: { afterDeadLetter: 'hold' },
    publisher: (onMessages) => ({
      ...noopPublisher(onMessages),
      publish: async (batch) => {
        onMessages(batch.filter(({ orderingKey }) => orderingKey !== blocked))
        return batch.map(({ id, orderingKey }): PublishResult =>
          orderingKey === blocked ? { id, status: 'failed', failure: refusal } : { id, status: 'accepted' },
        )
      },
    }),
  })
}

/** Leaves the blocked messages alone. */
function besides({ admin }: BenchDatabase, inner: Drainer): Drainer {
  const clear = () => admin.query('delete from malote.messages where ordering_key is distinct from $1', [blocked])
  return { ...inner, clear }
}

async function holdKey({ admin }: BenchDatabase, { start }: Drainer, count: number): Promise<void> {
  const insert = `insert into malote.messages (topic, type, ordering_key, payload) select $1, $2, $3, $4 from generate_series(1, $5)`
  await admin.query(insert, [topic, type, blocked, payloadText, 1])
  const worker = await start(() => {})
  const isHeld = async (): Promise<boolean> =>
    (await admin.query('select from malote.held_keys where ordering_key = $1', [blocked])).rowCount === 1
  while (!(await isHeld())) await new Promise((resolve) => setTimeout(resolve, 10))
  await worker.stop()
  await admin.query(insert, [topic, type, blocked, payloadText, count])
  await admin.query('vacuum analyze malote.messages')
}
