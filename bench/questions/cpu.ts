import { forkRelay } from '../children/relay-child.ts'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { atMost, figureRow, figuresOf } from '../harness/statistics.ts'
import { createMaloteDrainer } from '../peers/malote.ts'

export const cpu: Benchmark = {
  name: 'cpu',
  question: 'How much CPU time does a relay process spend on a message?',
  run: async ({ server, rounds, scale, log }) => {
    const count = 200_000 * scale
    const database = await server.database()
    const drainer = await createMaloteDrainer(database)
    const measure = async (): Promise<number> => {
      await drainer.clear()
      await drainer.fill(count)
      await drainer.vacuum()
      const child = await forkRelay({ url: database.url, broker: 'noop' })
      child.start()
      while (!(await drainer.isEmpty())) await new Promise((resolve) => setTimeout(resolve, 5))
      const { cpuUs, published } = await child.report()
      await child.stop()
      return cpuUs / published
    }
    const figures = figuresOf(await alternate(rounds, { relay: measure }, log), 'µs/message')
    await database.drop()
    return {
      figures,
      rows:
        figures['relay'] === undefined
          ? []
          : [figureRow('relay', 'node CPU per relayed message', figures['relay'], atMost(8, ' µs'))],
      runs: rounds,
      notes: [
        `User and system time of the relay's process from its first publish on, over ${String(count)} messages, just-in-time compilation included.`,
      ],
    }
  },
}
