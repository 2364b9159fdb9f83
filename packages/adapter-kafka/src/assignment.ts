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
  readonly sequential: boolean
  readonly maxAhead: number
}

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${String(partition)}`

export function createAssignment(options: AssignmentOptions): Assignment {
  return new Holdings(options)
}

class Holdings implements Assignment {
  readonly #options: AssignmentOptions
  readonly #assigned = new Map<string, AssignedPartition>()
  readonly #committed = new Map<string, bigint>()
  /** Ends of handlers whose partition was lost. */
  readonly #leftRunning = new Map<string, Promise<void>>()

  constructor(options: AssignmentOptions) {
    this.#options = options
  }

  set(places: readonly TopicPartition[], afresh: boolean): { readonly added: readonly TopicPartition[] } {
    const kept = new Set(afresh ? [] : places.map(keyOf))
    for (const partition of this.#assigned.values())
      if (kept.has(keyOf(partition))) partition.rejoined()
      else void this.#lose(partition, new Error(`partition ${keyOf(partition)} went to another member of the group`))
    const added = places.filter((place) => !this.#assigned.has(keyOf(place)))
    for (const place of added) this.#add(place)
    return { added }
  }

  get(place: TopicPartition): AssignedPartition | undefined {
    return this.#assigned.get(keyOf(place))
  }

  restart(place: TopicPartition): void {
    const partition = this.get(place)
    if (partition !== undefined) void this.#lose(partition, new Error(`the log of ${keyOf(place)} was made anew`))
    this.#add(place)
  }

  async loseAll(reason: Error): Promise<void> {
    await Promise.all([...this.#assigned.values()].map((partition) => this.#lose(partition, reason)))
  }

  async drainAll(): Promise<void> {
    await Promise.all([...this.#assigned.values()].map((partition) => partition.drain()))
  }

  places(): TopicPartition[] {
    return [...this.#assigned.values()].map(({ topic, partition }) => ({ topic, partition }))
  }

  positions(): Position[] {
    return [...this.#assigned.values()].flatMap((held) => {
      const { topic, partition, finished: offset } = held
      return offset === null || offset === this.#committed.get(keyOf(held)) ? [] : [{ topic, partition, offset }]
    })
  }

  committed(positions: readonly Position[]): void {
    for (const position of positions)
      if (this.#assigned.has(keyOf(position))) this.#committed.set(keyOf(position), position.offset)
  }

  #add(place: TopicPartition): void {
    const { handle, onProgress, sequential, maxAhead } = this.#options
    const partition = createAssignedPartition(place, {
      handle,
      onProgress: () => onProgress(partition),
      sequential,
      maxAhead,
      // A handler that ignores its signal still runs: its key must not run twice in this process.
      after: this.#leftRunning.get(keyOf(place)) ?? Promise.resolve(),
    })
    this.#assigned.set(keyOf(place), partition)
  }

  #lose(partition: AssignedPartition, error: Error): Promise<void> {
    const key = keyOf(partition)
    this.#assigned.delete(key)
    this.#committed.delete(key)
    const ended = Promise.all([this.#leftRunning.get(key), partition.lose(error)]).then(() => {
      if (this.#leftRunning.get(key) === ended) this.#leftRunning.delete(key)
    })
    this.#leftRunning.set(key, ended)
    return ended
  }
}
