import type { OutboxMessage } from '../message.ts'

/** A message read ahead, with what the relay needs to place and settle it. */
export interface BufferedMessage {
  readonly seq: number
  readonly lane: number
  /** What `streamOf` says. */
  readonly stream: string | null
  /** Of the body, in memory; 0 when it was not read. */
  readonly bytes: number
  /** The body has this many bytes, which is more than a relay reads: it is a dead letter. */
  readonly tooLarge?: number
  /** It failed or was replayed before, and came through the waiting path. */
  readonly hasWaited: boolean
  /** Most messages in flight while this one is: few when relays died with it, or with the backlog it is part of. See `maxTogetherOf`. */
  readonly maxTogether: number
  /** The last relay that published it died while it was alone in flight. */
  readonly diedAlone: boolean
  readonly message: OutboxMessage
  /** It was in a batch that the publisher rejected as a whole. */
  accusation?: Accusation
}

/** Rejected batches are sent again in pieces, so that the one at fault is found. */
export interface Accusation {
  /** Most messages in the next piece. */
  readonly limit: number
  /** Other batches had passed, so the fault is inside; otherwise it is dropped when the outage ends. */
  readonly isProven: boolean
  /** Batches that had passed when it was rejected, and those of its topic. */
  readonly passes: number
  readonly passesOfTopic: number
  /** Outages ended by then. */
  readonly outages: number
}
