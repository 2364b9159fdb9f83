import type { OutboxMessage, Publisher } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark, Figure, Row } from '../harness/benchmark.ts'
import { atLeast, figuresOf, ratioRow, spreadOf } from '../harness/statistics.ts'
import { drain } from '../peers/drainer.ts'
import { createMaloteDrainer, type Keys, noopPublisher } from '../peers/malote.ts'

const latencyMs = 30

/** The shapes of a broker far away: big batches, few in flight; small batches, many in flight. */
const brokers = [
  { name: 'per-500', batchSize: 500, concurrency: 4, count: 150_000 },
  { name: 'per-10', batchSize: 10, concurrency: 16, count: 12_000 },
] as const

export const slowBroker: Benchmark = {
  name: 'slow-broker',
  question: 'How much of what a broker with 30 ms of latency can take does the relay use?',
  rounds: 3,
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    const figures: Record<string, Figure> = {}
    const rows: Row[] = []
    for (const { name, batchSize, concurrency, count } of brokers) {
      const limit = (batchSize * concurrency * 1000) / latencyMs
      const measure = async (keys: Keys): Promise<() => Promise<number>> => {
        const relay = { batchSize, concurrency }
        const drainer = await createMaloteDrainer(database, { keys, relay, publisher: delayed })
        return () => drain(drainer, { count: count * scale })
      }
      const names = { none: `${name}, no keys`, '10k': `${name}, 10 k keys` } as const
      const samples = await alternate(
        rounds,
        { [names.none]: await measure('none'), [names['10k']]: await measure('10k') },
        log,
      )
      Object.assign(figures, figuresOf(samples, 'messages/s'))
      for (const [keys, label] of [
        ['none', 'no keys'],
        ['10k', '10 k keys'],
      ] as const) {
        const share = spreadOf((samples[names[keys]] ?? []).map((rate) => rate / limit))
        const what = `share of the arithmetic limit, ${String(latencyMs)} ms per ${String(batchSize)}, ${String(concurrency)} in flight, ${label}`
        rows.push(ratioRow(`limit-${name}-${keys}`, what, share, atLeast(0.85)))
      }
    }
    await database.drop()
    return {
      figures,
      rows,
      runs: rounds,
      notes: ['The broker is a timer: it shows what the relay makes of latency, not what a broker costs.'],
    }
  },
}

function delayed(onMessages: (batch: readonly OutboxMessage[]) => void): Publisher {
  const noop = noopPublisher(onMessages)
  return {
    ...noop,
    name: 'delayed',
    publish: async (batch, signal) => {
      await new Promise((resolve) => setTimeout(resolve, latencyMs))
      return noop.publish(batch, signal)
    },
  }
}
