import { createMessageProcessor, type MessageProcessor, resolveConsumerOptions } from '../src/adapter/index.ts'
import type { ConsumerEvent, ConsumerOptions } from '../src/index.ts'
import { createManualClock, type ManualClock } from '../src/testing/index.ts'

export interface TestProcessor {
  readonly clock: ManualClock
  readonly events: ConsumerEvent[]
  readonly processor: MessageProcessor
}

/** What handles messages, on a manual clock. */
export function aProcessor(options: Partial<ConsumerOptions>): TestProcessor {
  const clock = createManualClock()
  const events: ConsumerEvent[] = []
  const resolved = resolveConsumerOptions({
    handler: () => Promise.resolve(),
    onEvent: (event) => void events.push(event),
    ...options,
  })
  return { clock, events, processor: createMessageProcessor(resolved, clock) }
}

/** A handler that fails. */
export const failing = (error: unknown) => async (): Promise<never> => {
  throw error
}
