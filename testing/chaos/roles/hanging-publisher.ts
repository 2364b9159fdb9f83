import { setTimeout as sleep } from 'node:timers/promises'
import type { Publisher, PublishResult } from '../library.ts'

/** The broker knows one topic. To the relay the messages of this one go to another destination. */
export const hungTopic = 'chaos-hung'
/** Keys of that topic alone. */
export const hungKeys: readonly string[] = ['hung-0', 'hung-1']

export interface HangingPublisher extends Publisher {
  /** From now on the destination of `hungTopic` does not answer, or does again. */
  hang(isHung: boolean): void
}

/** Takes the rest of the batch to the broker and waits with the hung topic's messages, as a destination does that does not answer. */
export function hangingPublisher(
  publisher: Publisher,
  { blocksAll = false }: { readonly blocksAll?: boolean } = {},
): HangingPublisher {
  const destination = { isHung: false }
  const untilAnswered = async (signal: AbortSignal): Promise<void> => {
    while (destination.isHung && !signal.aborted) await sleep(20)
  }
  return {
    name: publisher.name,
    close: () => publisher.close(),
    hang: (next) => {
      destination.isHung = next
    },
    publish: async (batch, signal) => {
      if (blocksAll) {
        await untilAnswered(signal)
        if (signal.aborted) return batch.map(aborted)
      }
      const isHanging = destination.isHung && batch.some(({ topic }) => topic === hungTopic)
      if (!isHanging) return publisher.publish(batch.map(known), signal)
      const others = await publisher.publish(
        batch.filter(({ topic }) => topic !== hungTopic),
        signal,
      )
      const waiting = batch.filter(({ topic }) => topic === hungTopic)
      await untilAnswered(signal)
      return [
        ...others,
        ...(signal.aborted ? waiting.map(aborted) : await publisher.publish(waiting.map(known), signal)),
      ]
    },
  }
}

const known = <Message extends { topic: string }>(message: Message): Message =>
  message.topic === hungTopic ? { ...message, topic: 'chaos' } : message

const aborted = ({ id }: { id: string }): PublishResult => ({
  id,
  status: 'failed',
  failure: { kind: 'retryable', code: 'ABORTED', message: 'the destination did not answer' },
})
