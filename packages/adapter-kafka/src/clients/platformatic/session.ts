import { type ClusterMetadata, ConnectionPool, Consumer, ListOffsetTimestamps } from '@platformatic/kafka'
import type { Clock } from '@malote/outbox-core/adapter'
import type { FetchedBatch, TopicPartition } from '../../client.ts'
import { asksToJoin, isLost, isPassing, outOfRange, told } from './failures.ts'
import { recordsOf } from './fetched.ts'
import { maxRetries, retryMs, untilServed } from './patience.ts'
import { fixedSettings, type PlatformaticConnection } from './settings.ts'

/** One membership in the group, from joining to leaving or failing. It is not begun again: another one takes its place. */
export interface Session {
  /** Resolves when the group has met. */
  join(): Promise<void>
  commit(offsets: readonly (TopicPartition & { readonly offset: string })[]): Promise<void>
  seek(place: TopicPartition, offset: string): void
  pause(place: TopicPartition): void
  resume(place: TopicPartition): void
  /** Leaves the group. */
  close(): Promise<void>
}

export interface SessionOptions {
  readonly connection: PlatformaticConnection
  readonly groupId: string
  /** In milliseconds, as `timesOf` gives them. */
  readonly sessionTimeout: number
  readonly rebalanceTimeout: number
  readonly heartbeatInterval: number
  readonly topics: readonly string[]
  readonly fromBeginning: boolean
  readonly eachBatch: (fetched: FetchedBatch) => Promise<void>
  readonly joined: (memberId: string, places: readonly TopicPartition[]) => void
  /** The session is over, and not because it was closed. */
  readonly failed: (error: Error) => void
}

/** Longest a fetch waits for records, in milliseconds: so long a resumed partition may have to wait for its turn. */
const maxWaitMs = 250
/** How often in a row a fetch reaches nobody before the membership is given up. */
const maxLosses = 4
/** Most bytes of one fetch and of one partition in it: a larger record comes alone. */
const maxBytes = 10_485_760
const maxPartitionBytes = 1_048_576

/** A partition that is ours, and where its next fetch begins. Null until that is known. */
interface Place extends TopicPartition {
  offset: bigint | null
}

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${String(partition)}`

export function createSession(options: SessionOptions, clock: Clock): Session {
  return new GroupSession(options, clock)
}

/**
 * The client's own stream of messages can be paused only as a whole. So partitions are fetched here, by the client's `fetch`: each from
 * its own position, those that are paused not at all.
 */
class GroupSession implements Session {
  readonly #options: SessionOptions
  readonly #clock: Clock
  readonly #client: Consumer
  /** Connections of their own for fetches: a broker answers one connection's requests in turn, heartbeats behind a fetch that waits. */
  readonly #fetching: ConnectionPool
  readonly #busyNodes = new Set<number>()
  readonly #paused = new Set<string>()
  #places = new Map<string, Place>()
  #delivering = Promise.resolve()
  #failures = 0
  #over = false

  constructor(options: SessionOptions, clock: Clock) {
    const { connection, groupId, sessionTimeout, rebalanceTimeout, heartbeatInterval, topics } = options
    this.#options = options
    this.#clock = clock
    this.#client = new Consumer({
      ...connection,
      ...fixedSettings,
      groupId,
      sessionTimeout,
      rebalanceTimeout: Math.max(rebalanceTimeout, sessionTimeout),
      heartbeatInterval,
      // By one of these names members of the other clients know their own way to share partitions, so that clients can be mixed in a group.
      protocols: [
        { name: 'roundrobin', version: 1 },
        { name: 'RoundRobinAssigner', version: 1 },
      ],
    })
    this.#fetching = new ConnectionPool(connection.clientId, connection)
    this.#client.topics.trackAll(...topics)
    this.#client.on('consumer:group:join', ({ memberId, assignments }) => this.#onJoined(memberId, assignments ?? []))
    this.#client.on('error', (error) => this.#onError(error))
    this.#client.on('consumer:heartbeat:stalled', ({ lastError }) =>
      this.#fail(lastError ?? new Error('the group coordinator does not answer')),
    )
  }

  join(): Promise<void> {
    return untilServed(this.#clock, async () => void (await this.#client.joinGroup({})))
  }

  async commit(offsets: readonly (TopicPartition & { readonly offset: string })[]): Promise<void> {
    await this.#client.commit({
      offsets: offsets.map(({ topic, partition, offset }) => ({
        topic,
        partition,
        offset: BigInt(offset),
        leaderEpoch: -1,
      })),
    })
  }

  seek(place: TopicPartition, offset: string): void {
    const found = this.#places.get(keyOf(place))
    if (found === undefined) return
    found.offset = BigInt(offset)
    this.#fetch()
  }

  pause(place: TopicPartition): void {
    this.#paused.add(keyOf(place))
  }

  resume(place: TopicPartition): void {
    if (this.#paused.delete(keyOf(place))) this.#fetch()
  }

  async close(): Promise<void> {
    this.#over = true
    const left = await Promise.allSettled([this.#client.close(true), this.#fetching.close()])
    // A client that cannot leave its group keeps its connections.
    await this.#client.connections.close()
    for (const one of left) if (one.status === 'rejected') throw told(one.reason)
  }

  #onJoined(memberId: string, assignments: readonly { topic: string; partitions: number[] }[]): void {
    if (this.#over) return
    const places = assignments.flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition, offset: null })),
    )
    this.#places = new Map(places.map((place) => [keyOf(place), place]))
    this.#options.joined(memberId, places)
    void untilServed(this.#clock, () => this.#locate(places, true)).catch((error: unknown) => this.#fail(error))
  }

  /** The client met the group again by itself and could not. */
  #onError(failed: Error): void {
    if (this.#over) return
    if (!asksToJoin(failed) && !isPassing(failed)) return this.#fail(failed)
    void this.join().catch((failure: unknown) => this.#fail(failure))
  }

  /** Finds where the partitions go on: at what the group has committed, or at the end of the log that was asked for. */
  async #locate(places: readonly Place[], fromCommitted: boolean): Promise<void> {
    const open = places.filter((place) => place.offset === null && this.#places.get(keyOf(place)) === place)
    if (open.length === 0) return
    const byTopic = [...Map.groupBy(open, ({ topic }) => topic)].map(([topic, all]) => ({
      topic,
      partitions: all.map(({ partition }) => partition),
    }))
    const committed = fromCommitted ? await this.#client.listCommittedOffsets({ topics: byTopic }) : null
    const ends = await this.#client.listOffsets({
      topics: byTopic.map(({ topic }) => topic),
      partitions: Object.fromEntries(byTopic.map(({ topic, partitions }) => [topic, partitions])),
      timestamp: this.#options.fromBeginning ? ListOffsetTimestamps.EARLIEST : ListOffsetTimestamps.LATEST,
    })
    for (const place of open) {
      const { topic, partition } = place
      const known = committed?.get(topic)?.[partition] ?? -1n
      // A seek may have come meanwhile.
      place.offset ??= known >= 0n ? known : (ends.get(topic)?.[partition] ?? null)
    }
    this.#fetch()
  }

  /** Fetches from each broker that leads a partition that wants records, unless a fetch from it is under way. */
  #fetch(): void {
    if (this.#over) return
    void this.#askLeaders().catch(async (error: unknown) => {
      await this.#onFetchFailed(error)
      this.#fetch()
    })
  }

  async #askLeaders(): Promise<void> {
    if (this.#wanted().length === 0) return
    const metadata = await this.#client.metadata({ topics: [...this.#options.topics] })
    const leaderOf = ({ topic, partition }: Place): number =>
      metadata.topics.get(topic)?.partitions[partition]?.leader ?? -1
    for (const [node, places] of Map.groupBy(this.#wanted(), leaderOf)) {
      if (this.#over || this.#busyNodes.has(node)) continue
      if (node < 0) throw new LeaderlessError(keyOf(places[0] as Place))
      this.#busyNodes.add(node)
      void this.#fetchFrom(node, places, metadata)
        .catch((error: unknown) => this.#onFetchFailed(error, metadata))
        .finally(() => {
          this.#busyNodes.delete(node)
          this.#fetch()
        })
    }
  }

  #wanted(): Place[] {
    return [...this.#places.values()].filter((place) => place.offset !== null && !this.#paused.has(keyOf(place)))
  }

  async #fetchFrom(node: number, places: readonly Place[], metadata: ClusterMetadata): Promise<void> {
    const asked = new Map(places.map((place) => [keyOf(place), place.offset]))
    const topics = [...Map.groupBy(places, ({ topic }) => topic)].map(([topic, all]) => ({
      topicId: metadata.topics.get(topic)?.id ?? '',
      partitions: all.map(({ partition, offset }) => ({
        partition,
        fetchOffset: offset ?? 0n,
        currentLeaderEpoch: -1,
        lastFetchedEpoch: -1,
        partitionMaxBytes: maxPartitionBytes,
      })),
    }))
    const limits = { minBytes: 1, maxBytes, maxWaitTime: maxWaitMs }
    const { responses } = await this.#client.fetch({ node, topics, connectionPool: this.#fetching, ...limits })
    this.#failures = 0
    for (const { topicId, partitions } of responses)
      for (const { partitionIndex: partition, records } of partitions) {
        const topic = topicNamed(topicId, metadata)
        const place = this.#places.get(keyOf({ topic, partition }))
        const from = asked.get(keyOf({ topic, partition })) ?? null
        if (place === undefined || from === null) continue
        this.#delivering = this.#delivering.then(() => this.#deliver(place, from, recordsOf(records ?? [], from)))
      }
    await this.#delivering
  }

  /** Not resolved, records come again with the next fetch. */
  async #deliver(place: Place, from: bigint, { records, next }: ReturnType<typeof recordsOf>): Promise<void> {
    const isStale = (): boolean => this.#over || this.#places.get(keyOf(place)) !== place || place.offset !== from
    if (isStale() || this.#paused.has(keyOf(place))) return
    const last = records.at(-1)
    let resolved: bigint = last === undefined ? next : from
    if (last !== undefined)
      await this.#options.eachBatch({
        batch: { topic: place.topic, partition: place.partition, messages: records },
        resolveOffset: (offset) => {
          resolved = offset === last.offset ? next : BigInt(offset) + 1n
        },
        isRunning: () => !this.#over,
        isStale,
      })
    if (!isStale()) place.offset = resolved
  }

  async #onFetchFailed(error: unknown, metadata?: ClusterMetadata): Promise<void> {
    if (this.#over) return
    const lost = outOfRange(error).flatMap(
      ({ topicId, partition }) =>
        this.#places.get(keyOf({ topic: metadata === undefined ? '' : topicNamed(topicId, metadata), partition })) ??
        [],
    )
    for (const place of lost) place.offset = null
    if (lost.length > 0)
      return untilServed(this.#clock, () => this.#locate(lost, false)).catch((failure: unknown) => this.#fail(failure))
    this.#failures++
    const isTemporary = isPassing(error) || isLost(error) || error instanceof LeaderlessError
    if (!isTemporary || this.#failures === (isLost(error) ? maxLosses : maxRetries)) return this.#fail(error)
    this.#client.clearMetadata()
    await this.#clock.sleep(retryMs)
  }

  #fail(failure: unknown): void {
    if (this.#over) return
    const shown = told(failure)
    // The failure is what is told. What goes wrong on leaving goes wrong for the same reason.
    this.close().catch(() => {})
    this.#options.failed(shown instanceof Error ? shown : new Error(String(shown)))
  }
}

class LeaderlessError extends Error {
  override readonly name = 'LeaderlessError'
  constructor(place: string) {
    super(`${place} has no leader`)
  }
}

function topicNamed(topicId: string, metadata: ClusterMetadata): string {
  return [...metadata.topics].find(([, { id }]) => id === topicId)?.[0] ?? ''
}
