import type { BufferedMessage } from './buffered-message.ts'

/** Batches that have passed so far. */
export interface Passes {
  readonly all: number
  of(topic: string): number
  /** Outages that have ended so far. */
  readonly outages: number
}

/** Who is at fault when the publisher rejects a batch as a whole. */
export type Verdict =
  /** Nothing passes: the broker is out of reach. */
  | 'broker'
  /** Other batches pass: the fault is inside. Smaller pieces will find it. */
  | 'batch'
  /** One message, alone and rejected again, while others of its topic passed: it pays an attempt. */
  | 'message'
  /** Alone and rejected again, while only messages of other topics passed. */
  | 'destination'

/**
 * Tells a broker that is out of reach from a message that makes the publisher fail: that others pass, since the batch was sent
 * or since its messages were rejected before, proves that the broker is there. Whether a single message is to blame, or where
 * it goes, only others on the same way can tell.
 *
 * Notes on the messages how many of them may share the next batch.
 */
export function accuse(items: readonly BufferedMessage[], passesAtStart: number, passes: Passes): Verdict {
  const before = items.map(({ accusation }) => accusation)
  const since = Math.min(passesAtStart, ...before.map((accusation) => accusation?.passes ?? passesAtStart))
  const isProven = passes.all > since
  const [first] = items
  const [accusation] = before
  const isAlone = items.length === 1 && first !== undefined && accusation !== undefined
  const topicPassed = isAlone && passes.of(first.message.topic) > accusation.passesOfTopic
  const limit = Math.max(1, Math.ceil(items.length / 2))
  for (const message of items) {
    const passesOfTopic = passes.of(message.message.topic)
    message.accusation = { limit, isProven, passes: passes.all, passesOfTopic, outages: passes.outages }
  }
  if (!isProven) return 'broker'
  if (!isAlone) return 'batch'
  return topicPassed ? 'message' : 'destination'
}
