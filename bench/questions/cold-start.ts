import { coldStart, type StartedBy } from '../children/cold-start.ts'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { figuresOf, ratioOf, ratioRow, undercut } from '../harness/statistics.ts'
import type { Drainer } from '../peers/drainer.ts'
import { createGraphileDrainer } from '../peers/graphile-worker.ts'
import { createMaloteDrainer } from '../peers/malote.ts'

export const coldStartQuestion: Benchmark = {
  name: 'cold-start',
  question: 'How long does a new process take from its start to its first message?',
  run: async ({ server, rounds, log }) => {
    const [ours, theirs] = [await server.database(), await server.database()]
    const [malote, graphile] = [await createMaloteDrainer(ours), await createGraphileDrainer(theirs)]
    const withOneMessage = (who: StartedBy, drainer: Drainer, url: string) => async (): Promise<number> => {
      await drainer.clear()
      await drainer.fill(1)
      return coldStart(who, url)
    }
    const contestants = {
      malote: withOneMessage('malote', malote, ours.url),
      'graphile-worker': withOneMessage('graphile-worker', graphile, theirs.url),
      'node and pg alone': () => coldStart('pg alone', ours.url),
    }
    for (const compile of Object.values(contestants)) await compile() // Those that come later read what it has compiled.
    const samples = await alternate(rounds, contestants, log)
    await Promise.all([ours.drop(), theirs.drop()])
    return {
      figures: figuresOf(samples, 'ms'),
      rows: [
        ratioRow(
          'graphile-worker',
          'first message of a new process ÷ graphile-worker’s, time',
          ratioOf(samples.malote, samples['graphile-worker']),
          null,
          undercut('graphile-worker'),
        ),
        ratioRow(
          'pg-alone',
          'first message of a new process ÷ first answer of the database to Node with pg alone, time',
          ratioOf(samples.malote, samples['node and pg alone']),
          null,
          undercut('Node with pg alone'),
        ),
      ],
      runs: rounds,
      notes: [
        'From the fork of a process to the message in its handler. Node, the libraries and the connections are in it; the compiler is not, whose work a cache keeps.',
        'Ours is read from its source, file by file. An installed package is bundled into a few.',
        'A relay that was stopped has given its lanes back. One that was killed keeps them until its lease is over.',
      ],
    }
  },
}
