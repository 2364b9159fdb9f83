/**
 * The parts of a Kafka client that are used. A client of kafkajs fits as it is; of each library there is a `KafkaClient` under the entry
 * point of its name.
 */

/** A Kafka client as publisher, consumer and redrive take it, with the settings they rely on. */
export interface KafkaClient {
  /** Makes a producer that is not connected yet: idempotent, one try, no topics made by mistake, keys where Java's client puts them. */
  readonly producer: () => KafkaProducer
  /** Makes a consumer of the group that is not connected yet. */
  consumer(group: KafkaGroup): KafkaConsumer
  /** Where topics and groups stand, for `redriveDeadLetters`. Connects for each question, and closes. */
  readonly admin: KafkaOffsetsAdmin
}

/** A consumer group, and how soon it notices that a member is gone. */
export interface KafkaGroup {
  readonly groupId: string
  /** How long a member may be silent before its partitions go to others, in milliseconds. @defaultValue 30_000 */
  readonly sessionTimeoutMs?: number
  /** How long the members have to meet again when one comes or goes, in milliseconds. @defaultValue 60_000 */
  readonly rebalanceTimeoutMs?: number
}

/** The part of an admin client that is used. One of kafkajs fits. */
export interface KafkaOffsetsAdmin {
  fetchTopicOffsets(topic: string): Promise<{ partition: number; high: string; low: string }[]>
  fetchOffsets(options: {
    groupId: string
    topics: string[]
  }): Promise<{ topic: string; partitions: { partition: number; offset: string }[] }[]>
}

/** A record on its way to Kafka. */
export interface KafkaRecord {
  key: Buffer | string | null
  value: Buffer | null
  headers: Record<string, Buffer | string>
}

/** What is used of a Kafka producer. A producer of kafkajs fits. */
export interface KafkaProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: { topic: string; messages: KafkaRecord[] }): Promise<unknown>
  /** Where the client says so. */
  isIdempotent?(): boolean
}

/** One partition of a Kafka topic. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A record as a Kafka client hands it over: bytes, position, and headers that may come more than once. */
export interface FetchedRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly offset: string
  /** Milliseconds since 1970, as text. */
  readonly timestamp?: string
  readonly headers?: Readonly<Record<string, Buffer | string | (Buffer | string)[] | undefined>>
}

/** A batch of one partition's records, and what the client lets its reader say about them. */
export interface FetchedBatch {
  readonly batch: { readonly topic: string; readonly partition: number; readonly messages: readonly FetchedRecord[] }
  resolveOffset(offset: string): void
  isRunning(): boolean
  /** True when a seek is pending: the batch is of the old position. */
  isStale(): boolean
}

/** What is used of a Kafka consumer. A consumer of kafkajs fits. */
export interface KafkaConsumer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: { topics: string[]; fromBeginning?: boolean }): Promise<void>
  run(config: {
    autoCommit?: boolean
    eachBatchAutoResolve?: boolean
    partitionsConsumedConcurrently?: number
    eachBatch?: (payload: FetchedBatch) => Promise<void>
  }): Promise<void>
  commitOffsets(offsets: { topic: string; partition: number; offset: string }[]): Promise<void>
  seek(position: { topic: string; partition: number; offset: string }): void
  pause(partitions: { topic: string; partitions: number[] }[]): void
  resume(partitions: { topic: string; partitions: number[] }[]): void
  /**
   * Tells when the group has met, with what is ours of each topic, and when the client has lost its membership. The payloads are those of
   * kafkajs: `{ memberId, memberAssignment }` and `{ error, restart }`.
   */
  on(event: 'consumer.group_join' | 'consumer.crash', listener: (event: { payload: unknown }) => void): () => void
}
