import type { OutboxMessage } from '../message.ts'

/** A message read ahead, with what the relay needs to place and settle it. */
export interface BufferedMessage {
  readonly seq: number
  readonly lane: number
  /** What `orderOf` says. */
  readonly order: string | null
  readonly bytes: number
  /** It failed or was replayed before, and came through the waiting path. */
  readonly hasWaited: boolean
  readonly message: OutboxMessage
}

/**
 * Every message this relay has read and not yet seen the end of: buffered, in flight, acknowledged and not deleted, and
 * deleted while a read was running. Nothing in here is read a second time.
 */
export interface Buffer {
  readonly count: number
  readonly bytes: number
  has(seq: number): boolean
  add(message: BufferedMessage): void
  /** No longer ours to send; it is still in the table and may be read again. */
  drop(message: BufferedMessage): void
  /** Deleted or changed in the table. A read that began earlier may still show it as it was: it is known until that ends. */
  settled(messages: readonly BufferedMessage[]): void
  beginRead(): void
  endRead(): void
  /** Messages of the lane whose end is not seen yet. */
  countOf(lane: number): number
  /** All known seqs as a PostgreSQL array literal. */
  seqs(): string
}

export function createBuffer(): Buffer {
  const known = new Map<number, BufferedMessage>()
  const perLane = new Int32Array(64)
  const forgetAfterRead: number[] = []
  let isReading = false
  let unsettled = 0
  let bytes = 0

  function gone(message: BufferedMessage): void {
    unsettled--
    bytes -= message.bytes
    perLane[message.lane] = (perLane[message.lane] ?? 0) - 1
  }

  return {
    get count() {
      return unsettled
    },
    get bytes() {
      return bytes
    },
    has: (seq) => known.has(seq),
    add: (message) => {
      known.set(message.seq, message)
      unsettled++
      bytes += message.bytes
      perLane[message.lane] = (perLane[message.lane] ?? 0) + 1
    },
    drop: (message) => {
      if (known.delete(message.seq)) gone(message)
    },
    settled: (messages) => {
      for (const message of messages) {
        gone(message)
        if (isReading) forgetAfterRead.push(message.seq)
        else known.delete(message.seq)
      }
    },
    beginRead: () => {
      isReading = true
    },
    endRead: () => {
      isReading = false
      for (const seq of forgetAfterRead) known.delete(seq)
      forgetAfterRead.length = 0
    },
    countOf: (lane) => perLane[lane] ?? 0,
    seqs: () => `{${[...known.keys()].join(',')}}`,
  }
}
