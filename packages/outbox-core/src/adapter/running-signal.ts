import type { ConsumerEvent } from '../consumer.ts'
import type { MessageInHand } from './message-in-hand.ts'
import { onAbort } from './on-abort.ts'

/** The signal of one call of a handler. */
export interface RunningSignal {
  readonly signal: AbortSignal
  /** The handler ended: of what happens from now on its signal must not tell. */
  end(): void
}

/** Aborts when the message is lost, which it reports, or when the handler must give up. */
export function createRunningSignal(inHand: MessageInHand, report: (event: ConsumerEvent) => void): RunningSignal {
  const { lost, graceOver, received } = inHand
  const running = new AbortController()
  const onLost = (): void => {
    if (received.message !== null) report({ type: 'message.hold-lost', id: received.message.id, error: lost.reason })
    running.abort(lost.reason)
  }
  const onGraceOver = (): void => running.abort(graceOver?.reason)
  const forgetLost = onAbort(lost, onLost)
  const forgetGrace = graceOver === undefined ? null : onAbort(graceOver, onGraceOver)
  return {
    signal: running.signal,
    end: () => {
      forgetLost()
      forgetGrace?.()
    },
  }
}
