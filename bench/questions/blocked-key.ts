import type { PublishResult } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import type { Drainer } from '../peers/drainer.ts'
import { createMaloteDrainer, noopPublisher } from '../peers/malote.ts'

const blocked = 'blocked'

export const blockedKey: Benchmark = {
  name: 'blocked-key',
  question: 'Do a million messages behind one held ordering key slow down those of other keys?',
  rounds: 3,
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const [full, none] = [await server.database(), await server.database()]
    const [relayOfFull, relayOfNone] = [await drainer(full), await drainer(none)]
    await holdKey(full, relayOfFull, count * 10)
    const contestant = (database: BenchDatabase, relay: Drainer) => () => drainWhileRunning(database, relay, count)
    const samples = await alternate(
      rounds,
      {
        '1 M behind a held key': contestant(full, relayOfFull),
        'none held': contestant(none, relayOfNone),
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
        'Rated from the first message handed over to the last, by a relay that runs when they are added. A relay that takes the lane over first reads past the held million three times, a quarter of a second each.',
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

/** Long enough for a relay to have looked past the held million, which it does when it takes a lane over. */
const settlingMs = 1_500

/** Messages per second of a relay that was there before them, from the first handed over to the last. */
async function drainWhileRunning({ admin }: BenchDatabase, relay: Drainer, count: number): Promise<number> {
  await admin.query('delete from malote.messages where ordering_key is distinct from $1', [blocked])
  await admin.query('vacuum analyze malote.messages')
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>()
  let done = 0
  let firstMs = 0
  const worker = await relay.start((handled) => {
    if (done === 0 && handled > 0) firstMs = performance.now()
    done += handled
    if (done >= count) finish()
  })
  await new Promise((resolve) => setTimeout(resolve, settlingMs))
  await relay.fill(count)
  await finished
  const elapsedMs = performance.now() - firstMs
  await worker.stop()
  return (done * 1000) / elapsedMs
}

async function holdKey({ admin }: BenchDatabase, relay: Drainer, count: number): Promise<void> {
  const insert = `insert into malote.messages (topic, type, ordering_key, payload) select $1, $2, $3, $4 from generate_series(1, $5)`
  await admin.query(insert, [topic, type, blocked, payloadText, 1])
  const worker = await relay.start(() => {})
  const isHeld = async (): Promise<boolean> =>
    (await admin.query('select from malote.held_keys where ordering_key = $1', [blocked])).rowCount === 1
  while (!(await isHeld())) await new Promise((resolve) => setTimeout(resolve, 10))
  await worker.stop()
  await admin.query(insert, [topic, type, blocked, payloadText, count])
  await admin.query('vacuum analyze malote.messages')
}
