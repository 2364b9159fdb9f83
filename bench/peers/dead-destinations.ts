import type { OutboxMessage, PublishFailure, Publisher, PublishResult } from '@malote/outbox-core'

/** Topics of destinations that take nothing begin so. */
const deadPrefix = 'dead-'

/** Takes no time, and takes nothing of dead topics: each has a destination of its own. */
export function partlyDeadPublisher(onMessages: (accepted: readonly OutboxMessage[]) => void): Publisher {
  const isDead = ({ topic }: OutboxMessage): boolean => topic.startsWith(deadPrefix)
  return {
    name: 'partly dead',
    publish: (batch) => {
      const accepted = batch.filter((message) => !isDead(message))
      if (accepted.length > 0) onMessages(accepted)
      return Promise.resolve(
        batch.map(({ id, topic }): PublishResult => {
          if (!topic.startsWith(deadPrefix)) return { id, status: 'accepted' }
          const failure: PublishFailure = { kind: 'unavailable', destination: topic, code: 'AWAY', message: 'away' }
          return { id, status: 'failed', failure }
        }),
      )
    },
    close: () => Promise.resolve(),
  }
}
