import type { KafkaConsumer, TopicPartition } from './client.ts'

/** Which partitions are fetched from: not those that have enough open records, nor those held for another reason. */
export interface Flow {
  /** Pauses the partition above the limit, resumes it below half of it. */
  regulate(partition: TopicPartition & { readonly open: number }): void
  /** Paused until `forget`, whatever is open. */
  hold(place: TopicPartition): void
  isHeld(place: TopicPartition): boolean
  /** Resumes and begins anew. */
  forget(place: TopicPartition): void
}

export function createFlow(consumer: Pick<KafkaConsumer, 'pause' | 'resume'>, maxOpen: number): Flow {
  const paused = new Set<string>()
  const held = new Set<string>()
  const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${String(partition)}`

  function tell(verb: 'pause' | 'resume', { topic, partition }: TopicPartition): void {
    try {
      consumer[verb]([{ topic, partitions: [partition] }])
    } catch {
      // Between two connections the client has no partitions to pause. It begins the next one with all of them fetched
      // from, and the first batch that is too much pauses again.
    }
  }

  function pause(place: TopicPartition): void {
    paused.add(keyOf(place))
    tell('pause', place)
  }

  function resume(place: TopicPartition): void {
    if (paused.delete(keyOf(place))) tell('resume', place)
  }

  return {
    regulate: ({ topic, partition, open }) => {
      const place = { topic, partition }
      if (open > maxOpen) pause(place)
      else if (open <= maxOpen / 2 && !held.has(keyOf(place))) resume(place)
    },
    hold: (place) => {
      held.add(keyOf(place))
      pause(place)
    },
    isHeld: (place) => held.has(keyOf(place)),
    forget: (place) => {
      held.delete(keyOf(place))
      resume(place)
    },
  }
}
