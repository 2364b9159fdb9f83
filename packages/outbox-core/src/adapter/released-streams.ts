import type { Clock } from '../clock.ts'
import type { ConsumerStore, ReleasedStream } from '../consumer-store.ts'
import type { ConsumerEvent } from '../consumer.ts'
import type { MessageEnd, MessageInHand } from './message-in-hand.ts'

export interface ReleasedOptions extends Pick<MessageInHand, 'ending' | 'graceOver'> {
  readonly store: ConsumerStore
  readonly process: (inHand: MessageInHand) => Promise<MessageEnd>
  readonly clock: Clock
  readonly report: (event: ConsumerEvent) => void
}

/** How soon a decision is seen. */
const pollMs = 1_000
/** How long a stream stays with a process that died. Renewed three times in between. */
const leaseMs = 30_000
const sweepEveryMs = 3_600_000
/** No broker keeps a message that it delivered before for longer without delivering it again. */
const keepCallsDays = 30

/**
 * Takes streams on that an operator let go on and handles what waits in them, in order, each as if its broker had just delivered it. What
 * arrives meanwhile waits behind, so nothing passes; the hold ends when nothing waits.
 */
export async function handleReleased(options: ReleasedOptions): Promise<void> {
  const { store, clock, ending, report } = options
  let sweptMs = clock.monotonicMs()
  while (!ending.aborted) {
    try {
      if (clock.monotonicMs() - sweptMs > sweepEveryMs) {
        sweptMs = clock.monotonicMs()
        await store.sweep(keepCallsDays)
      }
      const stream = await store.claimReleased(leaseMs)
      if (stream !== null) {
        await handleStream(stream, options)
        continue
      }
    } catch (error) {
      report({ type: 'consumer.store-failed', error })
    }
    await clock.sleep(pollMs, ending)
  }
}

async function handleStream(stream: ReleasedStream, options: ReleasedOptions): Promise<void> {
  const lost = new AbortController()
  const cancel = keepRenewed(stream, lost, options.clock)
  try {
    for (let waiting = await stream.next(); waiting !== null; waiting = await stream.next()) {
      const { message, position } = waiting
      let isHeldAgain = false
      const end = await options.process({
        received: { message },
        attempt: 1,
        isReleased: true,
        source: message.topic,
        topic: message.topic,
        lost: lost.signal,
        ending: options.ending,
        ...(options.graceOver === undefined ? {} : { graceOver: options.graceOver }),
        acknowledge: async () => isHeldAgain || (await stream.done(position)),
        onHeld: () => void (isHeldAgain = true),
        // Its dead letter is the head of the held stream: it stays where it is.
        deadLetter: () => Promise.resolve(),
      })
      if (isHeldAgain) return
      if (end !== 'settled') return await stream.giveBack()
    }
    await stream.end()
  } finally {
    cancel()
  }
}

/** @returns ends it */
function keepRenewed(stream: ReleasedStream, lost: AbortController, clock: Clock): () => void {
  let cancelTimer = (): void => {}
  let renewedMs = clock.monotonicMs()
  const lose = (cause: unknown): void => lost.abort(new Error('the released stream is not ours any more', { cause }))
  const renew = async (): Promise<void> => {
    const askedMs = clock.monotonicMs()
    try {
      if (await stream.renew(leaseMs)) renewedMs = askedMs
      else lose(null)
    } catch (error) {
      if (clock.monotonicMs() - renewedMs > (leaseMs * 2) / 3) lose(error)
    }
    if (!lost.signal.aborted) plan()
  }
  const plan = (): void => {
    cancelTimer = clock.after(leaseMs / 3, () => void renew())
  }
  plan()
  return () => {
    lost.abort(new Error('nothing is under way any more'))
    cancelTimer()
  }
}
