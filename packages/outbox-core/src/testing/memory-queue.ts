import { decodeEnvelope, encodeEnvelope } from '../adapter/envelope.ts'
import { type DeadLetter, type Received, receivedOf } from '../adapter/message-in-hand.ts'
import { OutboxError } from '../errors.ts'
import type { DeadLetterNote } from '../dead-letter-note.ts'
import { type OutboxMessage, streamOf } from '../message.ts'

/** A message in the place for dead letters. */
export interface MemoryDeadLetter {
  /** Null when the record was not one of ours. */
  readonly id: string | null
  /** Empty when it was left out for want of room. */
  readonly body: Uint8Array
  /** Empty when they were left out. */
  readonly headers: Readonly<Record<string, string>>
  /** Null when it was left out, so that the rest found room: see `beforeDeadLetter` of the broker. */
  readonly note: DeadLetterNote | null
}

/** A message of a queue: waiting, or with a consumer. */
export interface MemoryEntry {
  readonly received: Received
  readonly body: Uint8Array
  readonly order: string | null
  /** Place in the queue, counted from 1; 0 before it is in one. */
  position: number
  /** Attempts paid for so far. */
  spent: number
  /** Not given out before this instant of the clock. */
  notBeforeMs: number
}

/** A message that a consumer has, until it is settled or given back. Of no effect afterwards. */
export interface MemoryHold {
  readonly entry: MemoryEntry
}

/**
 * What one group of consumers has of one topic. Messages of one ordering key leave it one at a time, in order, also over failures:
 * behind one that is with a consumer, or waits for its next attempt, the rest of its key waits.
 */
export class MemoryQueue {
  /** In the order they came, those with a consumer among them. */
  readonly #entries: MemoryEntry[] = []
  readonly #holds = new Map<MemoryEntry, MemoryHold>()
  readonly #watchers = new Set<() => void>()
  readonly deadLetters: MemoryDeadLetter[] = []
  #added = 0
  #random: (() => number) | null = null

  get size(): number {
    return this.#entries.length
  }

  add(entry: MemoryEntry): void {
    entry.position = ++this.#added
    this.#entries.push(entry)
    this.#changed()
  }

  /** Entries of different keys, and those without one, leave in a random order from now on. Null: in the order they came. */
  shuffle(random: (() => number) | null): void {
    this.#random = random
  }

  /** The next message that may be handled now, or in how many milliseconds there is one (Infinity: nobody knows). */
  take(nowMs: number): MemoryHold | { readonly inMs: number } {
    const blocked = new Set<string>()
    const ready: MemoryEntry[] = []
    let inMs = Number.POSITIVE_INFINITY
    for (const entry of this.#entries) {
      const isFree = !this.#holds.has(entry) && (entry.order === null || !blocked.has(entry.order))
      if (entry.order !== null) blocked.add(entry.order)
      if (!isFree) continue
      if (entry.notBeforeMs > nowMs) inMs = Math.min(inMs, entry.notBeforeMs - nowMs)
      else if (ready.push(entry) > 0 && this.#random === null) break
    }
    const next = ready[Math.floor((this.#random?.() ?? 0) * ready.length)]
    if (next === undefined) return { inMs }
    const hold = { entry: next }
    this.#holds.set(next, hold)
    return hold
  }

  /** Handled or dead: it is gone. @returns false when the hold was over already */
  settle(hold: MemoryHold): boolean {
    if (this.#holds.get(hold.entry) !== hold) return false
    this.#holds.delete(hold.entry)
    this.#entries.splice(this.#entries.indexOf(hold.entry), 1)
    this.#changed()
    return true
  }

  /** Back to its place. @returns false when the hold was over already */
  giveBack(hold: MemoryHold): boolean {
    const isHeld = this.#holds.get(hold.entry) === hold
    if (isHeld) this.#holds.delete(hold.entry)
    this.#changed()
    return isHeld
  }

  /** Calls back at every change until what it returns is called. */
  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange)
    return () => this.#watchers.delete(onChange)
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher()
  }
}

/** A message as it arrives: over the wire form of the real brokers, so that what they would not carry is not carried here. */
export function entryOf(message: OutboxMessage): MemoryEntry {
  const wire = encodeEnvelope(message, { prefix: 'ce_', source: '/memory' })
  const body = typeof message.body === 'string' ? new TextEncoder().encode(message.body) : message.body
  const received = receivedOf(() => decodeEnvelope(wire, body, message.topic, 'ce_'))
  return { received, body, order: streamOf(message), position: 0, spent: 0, notBeforeMs: 0 }
}

/** As much of the message as the letter's form allows. */
export function deadLetterOf({ received, body }: MemoryEntry, { note, form }: DeadLetter): MemoryDeadLetter {
  const { id, headers } = received.message ?? { id: null, headers: {} }
  const isHeaded = form === 'whole' || form === 'bare'
  return {
    id: isHeaded ? id : null,
    body: form === 'stub' ? new Uint8Array(0) : body,
    headers: isHeaded ? headers : {},
    note: form === 'bare' ? null : note,
  }
}

/** A record that no publisher of ours sent. */
export function foreignEntry(body: string): MemoryEntry {
  const error = new OutboxError('UNDECODABLE_MESSAGE', 'not a message of ours: attribute "ce_id" is missing')
  return {
    received: { message: null, error },
    body: new TextEncoder().encode(body),
    order: null,
    position: 0,
    spent: 0,
    notBeforeMs: 0,
  }
}
