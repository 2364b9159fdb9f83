/** One acknowledgement on the wire: of this delivery alone, or of every delivery up to it that has none yet. */
export interface Acknowledgement {
  readonly tag: number
  readonly allUpTo: boolean
}

/**
 * Says with how few acknowledgements the settled deliveries of one channel can be told to the broker. A quorum queue writes
 * each acknowledgement to its log, so one for many deliveries saves the broker most of what acknowledging costs it.
 *
 * Invariant: a delivery is covered by an acknowledgement only after it was settled itself. "All up to" reaches no further than to the first
 * delivery in hand that is not settled.
 */
export interface Acknowledgements {
  /** A delivery has come. Tags come in rising order. */
  delivered(tag: number): void
  /** The delivery is handled, or safe in another queue. */
  settled(tag: number): void
  /** What is settled and not taken yet. It is taken then. */
  take(): readonly Acknowledgement[]
}

export function createAcknowledgements(): Acknowledgements {
  /** In the order they came: delivered and not acknowledged, with whether they are settled. */
  const inHand = new Map<number, boolean>()
  const settled = new Set<number>()

  return {
    delivered: (tag) => {
      inHand.set(tag, false)
    },
    settled: (tag) => {
      if (inHand.get(tag) !== false) return
      inHand.set(tag, true)
      settled.add(tag)
    },
    take: () => {
      let upTo: number | null = null
      for (const [tag, isSettled] of inHand) {
        if (!isSettled) break
        inHand.delete(tag)
        settled.delete(tag)
        upTo = tag
      }
      const alone = [...settled].map((tag) => ({ tag, allUpTo: false }))
      for (const { tag } of alone) inHand.delete(tag)
      settled.clear()
      return upTo === null ? alone : [{ tag: upTo, allUpTo: true }, ...alone]
    },
  }
}
