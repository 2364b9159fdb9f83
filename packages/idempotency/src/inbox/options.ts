import type { InboxEvent } from '../events.ts'

/** Where an inbox keeps its proofs, and what a second copy of a message does while the first is being applied. Everything has a default. */
export interface InboxOptions {
  /** Schema the inbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /**
   * What happens to a second copy of a message while the first is still being applied. `wait`: it waits up to `waitMs`
   * for the first one's outcome. `defer`: it fails at once with `IN_FLIGHT`. Either way it is never reported as a
   * duplicate before the first has committed.
   *
   * @defaultValue "wait": copies are rare and short; choose "defer" when many consumers compete
   */
  readonly inFlight?: 'wait' | 'defer'
  /**
   * Longest wait for a first copy, in milliseconds. Keep it below the broker's visibility timeout.
   *
   * @defaultValue 2_000: longer than a usual handler, shorter than any visibility timeout
   */
  readonly waitMs?: number
  /**
   * `simple`: one table, purged by time. `partitioned`: one partition for each day of the producer, purged by dropping
   * it; for tens of millions of live rows. Needs `occurredAt` on every message and `maintainInbox` run daily.
   *
   * @defaultValue "simple"
   */
  readonly profile?: 'simple' | 'partitioned'
  /** Told what happens; never given payloads. What it throws changes nothing; the first time it is reported on `process.emitWarning`. */
  readonly onEvent?: (event: InboxEvent) => void
}

/** Which message, and for whom it is applied. */
export interface InboxMessage {
  /** The handler: each consumer name applies a message once, whatever the others do. */
  readonly consumer: string
  /** The producer's message id, the same on every redelivery. Not the broker's delivery id: a re-publish changes that. */
  readonly messageId: string
  /** When the producer made the message (`ReceivedMessage.createdAt`). With it, a message older than the purge is refused. */
  readonly occurredAt?: Date
}

/** A message of a batch; the consumer is named once for all. */
export interface BatchMessage extends Omit<InboxMessage, 'consumer'> {
  /**
   * What it must keep its order among: topic and ordering key, for example. In `transactBatch` no message of a stream is applied behind
   * one of the same batch that failed. Undefined: it follows none.
   */
  readonly stream?: string
}
