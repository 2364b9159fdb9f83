import type { ConsumerEvent } from '@malote/outbox-core'
import { type AssignedPartition, createAssignedPartition, type PartitionOptions } from './assigned-partition.ts'
import type { TopicPartition } from './client.ts'
import type { Position } from './committer.ts'

/** The partitions that are ours now, and what may be committed of them. */
export interface Assignment {
  /** These are ours and no other. Keeps the ones that stay, unless `afresh`: then the group has forgotten us meanwhile. */
  set(places: readonly TopicPartition[], afresh: boolean): { readonly added: readonly TopicPartition[] }
  get(place: TopicPartition): AssignedPartition | undefined
  /** Forgets what was taken of the partition and begins again with what comes. */
  restart(place: TopicPartition): void
  loseAll(reason: Error): Promise<void>
  drainAll(): Promise<void>
  places(): TopicPartition[]
  positions(): Position[]
  committed(positions: readonly Position[]): void
}

export interface AssignmentOptions {
  readonly handle: PartitionOptions['handle']
  readonly onProgress: (partition: AssignedPartition) => void
  readonly report: (event: ConsumerEvent) => void
  readonly sequential: boolean
}

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${String(partition)}`

export function createAssignment(options: AssignmentOptions): Assignment {
  const assigned = new Map<string, AssignedPartition>()
  const committed = new Map<string, bigint>()
  const leftRunning = new Map<string, Promise<void>>()

  function add(place: TopicPartition): void {
    const key = keyOf(place)
    const partition = createAssignedPartition(place, {
      handle: options.handle,
      onProgress: () => options.onProgress(partition),
      report: options.report,
      sequential: options.sequential,
      // A handler that ignores its signal still runs: its key must not run twice in this process.
      after: leftRunning.get(key) ?? Promise.resolve(),
    })
    assigned.set(key, partition)
  }

  function lose(partition: AssignedPartition, error: Error): Promise<void> {
    const key = keyOf(partition)
    assigned.delete(key)
    committed.delete(key)
    const ended = Promise.all([leftRunning.get(key), partition.lose(error)]).then(() => {
      if (leftRunning.get(key) === ended) leftRunning.delete(key)
    })
    leftRunning.set(key, ended)
    return ended
  }

  async function loseAll(reason: Error): Promise<void> {
    await Promise.all([...assigned.values()].map((partition) => lose(partition, reason)))
  }

  return {
    set: (places, afresh) => {
      const kept = new Set(afresh ? [] : places.map(keyOf))
      for (const partition of assigned.values())
        if (kept.has(keyOf(partition))) partition.rejoined()
        else void lose(partition, new Error(`partition ${keyOf(partition)} went to another member of the group`))
      const added = places.filter((place) => !assigned.has(keyOf(place)))
      for (const place of added) add(place)
      return { added }
    },
    get: (place) => assigned.get(keyOf(place)),
    restart: (place) => {
      const partition = assigned.get(keyOf(place))
      if (partition !== undefined) void lose(partition, new Error(`the log of ${keyOf(place)} was made anew`))
      add(place)
    },
    loseAll,
    drainAll: async () => {
      await Promise.all([...assigned.values()].map((partition) => partition.drain()))
    },
    places: () => [...assigned.values()].map(({ topic, partition }) => ({ topic, partition })),
    positions: () =>
      [...assigned.values()].flatMap(({ topic, partition, finished }) =>
        finished === null || finished === committed.get(keyOf({ topic, partition }))
          ? []
          : [{ topic, partition, offset: finished }],
      ),
    committed: (positions) => {
      for (const position of positions)
        if (assigned.has(keyOf(position))) committed.set(keyOf(position), position.offset)
    },
  }
}
