import type { OutboxMessage } from '../message.ts'

/** A message read ahead, with what the relay needs to place and settle it. */
export interface BufferedMessage {
  readonly seq: number
  readonly lane: number
  /** What `orderOf` says. */
  readonly order: string | null
  /** Of the body, in memory; 0 when it was not read. */
  readonly bytes: number
  /** The body has this many bytes, which is more than a relay reads: it is a dead letter. */
  readonly tooLarge?: number
  /** It failed or was replayed before, and came through the waiting path. */
  readonly hasWaited: boolean
  /** What `companyOf` says: relays died with it, or with the backlog it is part of. */
  readonly company: number
  /** The last relay that published it died while it was alone in flight. */
  readonly diedAlone: boolean
  readonly message: OutboxMessage
}

/**
 * Every message this relay has read and not yet seen the end of: buffered, in flight, acknowledged and not deleted. Nothing
 * in here is read a second time: each read is told the seqs, as they were when it was sent. So one that is deleted while a
 * read with an older snapshot is on its way does not come back by it.
 */
export interface Buffer {
  readonly count: number
  readonly bytes: number
  add(message: BufferedMessage): void
  /** No longer ours to send; it is still in the table and may be read again. */
  drop(message: BufferedMessage): void
  /** Deleted or changed in the table. */
  settled(messages: readonly BufferedMessage[]): void
  /** Messages of the lane whose end is not seen yet. */
  countOf(lane: number): number
  /** Whether a message of the lane up to `seq` is known. */
  hasUpTo(lane: number, seq: number): boolean
  /** All known seqs as a PostgreSQL array literal; of those above a floor only when one is given. */
  seqs(floorOf?: (lane: number) => number): string
}

export function createBuffer(): Buffer {
  const known = new Map<number, BufferedMessage>()
  const perLane = new Int32Array(64)
  let bytes = 0

  function remove(message: BufferedMessage): void {
    if (!known.delete(message.seq)) return
    bytes -= message.bytes
    perLane[message.lane] = (perLane[message.lane] ?? 0) - 1
  }

  return {
    get count() {
      return known.size
    },
    get bytes() {
      return bytes
    },
    add: (message) => {
      known.set(message.seq, message)
      bytes += message.bytes
      perLane[message.lane] = (perLane[message.lane] ?? 0) + 1
    },
    drop: remove,
    settled: (messages) => messages.forEach(remove),
    countOf: (lane) => perLane[lane] ?? 0,
    hasUpTo: (lane, seq) => {
      for (const message of known.values()) if (message.lane === lane && message.seq <= seq) return true
      return false
    },
    seqs: (floorOf) => {
      const above: number[] = []
      for (const { seq, lane } of known.values()) if (floorOf === undefined || seq > floorOf(lane)) above.push(seq)
      return `{${above.join(',')}}`
    },
  }
}
