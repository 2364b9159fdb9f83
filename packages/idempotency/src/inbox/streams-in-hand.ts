import { predecessorFailed } from './failed-streams.ts'
import type { BatchMessage } from './options.ts'

/**
 * A message that was delivered and has not ended. It belongs to a run: the messages of its stream that were delivered before the first of
 * them to fail had ended. Those delivered afterwards are another run, for whoever delivers has heard of the failure: the
 * failed one may be among them, and must not be refused because of itself.
 */
export interface MessageInStream {
  /** Why the message must not be applied, or null. */
  refusal(): Error | null
  /** The message has not been applied, so nothing behind it may be. */
  fail(): void
  /** Whoever delivered the message is told next. */
  end(): void
}

/** The streams of the messages that a handler has in hand, over all batches. */
export interface StreamsInHand {
  /** When the message is delivered, in the order of delivery. */
  enter(message: BatchMessage): MessageInStream
  /**
   * Runs `work` when no earlier batch has a message of the same streams. Batches must come in the order of their messages:
   * each waits for earlier ones only, so that none can wait for itself.
   */
  inTurn<Result>(messages: readonly BatchMessage[], work: () => Promise<Result>): Promise<Result>
}

interface Run {
  failedBy: string | null
  inHand: number
}

export function createStreamsInHand(): StreamsInHand {
  const runs = new Map<string, Run>()
  const lastTurns = new Map<string, Promise<void>>()

  function enter({ messageId, stream }: BatchMessage): MessageInStream {
    const run = (stream === undefined ? undefined : runs.get(stream)) ?? { failedBy: null, inHand: 0 }
    run.inHand++
    if (stream !== undefined) runs.set(stream, run)
    return {
      refusal: () => (run.failedBy === null ? null : predecessorFailed(messageId, run.failedBy)),
      fail: () => void (run.failedBy ??= messageId),
      end: () => {
        run.inHand--
        const isOver = run.inHand === 0 || run.failedBy !== null
        if (stream !== undefined && isOver && runs.get(stream) === run) runs.delete(stream)
      },
    }
  }

  async function inTurn<Result>(messages: readonly BatchMessage[], work: () => Promise<Result>): Promise<Result> {
    const streams = new Set(messages.flatMap(({ stream }) => stream ?? []))
    const earlier = [...streams].flatMap((stream) => lastTurns.get(stream) ?? [])
    const { promise: turn, resolve: end } = Promise.withResolvers<void>()
    for (const stream of streams) lastTurns.set(stream, turn)
    try {
      await Promise.all(earlier)
      return await work()
    } finally {
      for (const stream of streams) if (lastTurns.get(stream) === turn) lastTurns.delete(stream)
      end()
    }
  }

  return { enter, inTurn }
}
