import type { Clock } from '../clock.ts'
import type { JournalWrites, RelayDescription } from '../postgres/journal.ts'
import { sqlStateOf } from '../postgres/queryable.ts'

interface TopicFlow {
  published: number
  lastAddedMs: number
}

/** Between two notes of what was published, in milliseconds: operators look by the second, messages pass by the thousand. */
const flowIntervalMs = 2_000

/**
 * What a relay writes down for operators: how much it published, and how it is set up. They read it from the database, because
 * the relay itself may be anywhere.
 *
 * A schema of an earlier version, or a role of an earlier version's grants, has no place for it: the relay works without.
 */
export class Journal {
  readonly #writes: JournalWrites
  readonly #flow = new Map<string, TopicFlow>()
  readonly #clock: Clock
  #nextFlowAtMs = 0
  #description: RelayDescription | null = null
  #isPossible = true

  constructor(writes: JournalWrites, clock: Clock) {
    this.#writes = writes
    this.#clock = clock
  }

  published(messages: readonly { readonly message: { readonly topic: string; readonly createdAt: Date } }[]): void {
    for (const { message } of messages) {
      const flow = this.#flow.get(message.topic)
      const addedMs = message.createdAt.getTime()
      if (flow === undefined) this.#flow.set(message.topic, { published: 1, lastAddedMs: addedMs })
      else {
        flow.published++
        if (addedMs > flow.lastAddedMs) flow.lastAddedMs = addedMs
      }
    }
  }

  describe(description: RelayDescription): void {
    this.#description = description
  }

  /** Writes what is new. Called by the control loop, and with `isLast` before the relay leaves. */
  async write(isLast = false): Promise<void> {
    if (!this.#isPossible) return
    try {
      if (this.#description !== null) await this.#writeDescription(this.#description)
      if (this.#flow.size > 0 && (isLast || this.#clock.monotonicMs() >= this.#nextFlowAtMs)) await this.#writeFlow()
    } catch (error) {
      const state = sqlStateOf(error)
      if (state !== '42P01' && state !== '42703' && state !== '42501') throw error
      this.#isPossible = false
      this.#flow.clear()
    }
  }

  async #writeDescription(description: RelayDescription): Promise<void> {
    await this.#writes.describeRelay(description)
    if (this.#description === description) this.#description = null // Else it was given another one meanwhile.
  }

  async #writeFlow(): Promise<void> {
    this.#nextFlowAtMs = this.#clock.monotonicMs() + flowIntervalMs
    const flow = [...this.#flow].map(([topic, counted]) => ({ topic, ...counted }))
    this.#flow.clear()
    await this.#writes.addFlow(flow)
  }
}
