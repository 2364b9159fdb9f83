/** Why a topic is suspended: an operator said so. Nothing of it is sent, not even to try its destination. */
export const pausedByOperator = 'paused'

/** A topic of which nothing is read or sent for now. */
interface Suspension {
  /** Why. The topic goes on when the last reason is gone. */
  readonly reasons: Set<string>
  /** Of each lane: nothing of the topic below this seq has been passed by. */
  readonly fromSeqs: Map<number, number>
}

export interface Rewind {
  readonly lane: number
  readonly seq: number
}

/**
 * Topics that stand still because their destination is unavailable, hangs, or an operator paused them. Pure.
 *
 * Their messages stay in the table, however many they are: reads pass them by and never see them twice. When a topic goes on,
 * its lanes are read again from the lowest seq that any read can have passed.
 */
export class Suspensions {
  readonly #topics = new Map<string, Suspension>()
  readonly #sinceRead = new Set<string>()

  has(topic: string): boolean {
    return this.#topics.has(topic)
  }

  beginRead(): void {
    this.#sinceRead.clear()
  }

  /**
   * Stands still now, or did at any time since the read began. Such a read may show a message and not one before it, which was
   * in flight when the read began and was left in the table since.
   */
  hadSinceRead(topic: string): boolean {
    return this.#topics.has(topic) || this.#sinceRead.has(topic)
  }

  topics(): string[] {
    return [...this.#topics.keys()]
  }

  suspendedBy(reason: string): string[] {
    return [...this.#topics].filter(([, { reasons }]) => reasons.has(reason)).map(([topic]) => topic)
  }

  isSuspendedBy(topic: string, reason: string): boolean {
    return this.#topics.get(topic)?.reasons.has(reason) === true
  }

  /** @returns whether the topic went on until now */
  suspend(topic: string, reason: string): boolean {
    const suspension = this.#topics.get(topic)
    if (suspension !== undefined) {
      suspension.reasons.add(reason)
      return false
    }
    this.#topics.set(topic, { reasons: new Set([reason]), fromSeqs: new Map() })
    this.#sinceRead.add(topic)
    return true
  }

  /** Takes the reason away. @returns from where lanes must be read again when it was the last one, or null */
  resume(topic: string, reason: string): Rewind[] | null {
    const suspension = this.#topics.get(topic)
    if (suspension === undefined || !suspension.reasons.delete(reason) || suspension.reasons.size > 0) return null
    this.#topics.delete(topic)
    return [...suspension.fromSeqs].map(([lane, seq]) => ({ lane, seq }))
  }

  /** A read passes by what the lane holds of the topics from `seq` on, or a message with this seq left the memory. */
  passBy(lane: number, seq: number, topics: Iterable<string> = this.#topics.keys()): void {
    for (const topic of topics) {
      const fromSeqs = this.#topics.get(topic)?.fromSeqs
      if (fromSeqs !== undefined) fromSeqs.set(lane, Math.min(fromSeqs.get(lane) ?? seq, seq))
    }
  }

  removeLane(lane: number): void {
    for (const { fromSeqs } of this.#topics.values()) fromSeqs.delete(lane)
  }
}
