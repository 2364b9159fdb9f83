import type { KafkaConsumer, KafkaGroup, TopicPartition } from '../client.ts'

/** The group's times as every client is given them, in milliseconds. */
export function timesOf({ sessionTimeoutMs = 30_000, rebalanceTimeoutMs = 60_000 }: KafkaGroup): {
  readonly sessionTimeout: number
  readonly rebalanceTimeout: number
  readonly heartbeatInterval: number
} {
  return {
    sessionTimeout: sessionTimeoutMs,
    rebalanceTimeout: rebalanceTimeoutMs,
    heartbeatInterval: Math.min(3_000, sessionTimeoutMs / 5),
  }
}

type Listener = Parameters<KafkaConsumer['on']>[1]

/** What a client without such events tells its listeners in their place. */
export interface GroupEvents {
  readonly on: KafkaConsumer['on']
  readonly joined: (memberId: string, places: readonly TopicPartition[]) => void
  readonly crashed: (error: Error, restart: boolean) => void
}

export function createGroupEvents(): GroupEvents {
  const listeners = { 'consumer.group_join': new Set<Listener>(), 'consumer.crash': new Set<Listener>() }
  const tell = (event: keyof typeof listeners, payload: unknown): void => {
    for (const listener of listeners[event]) listener({ payload })
  }
  return {
    on: (event, listener) => {
      listeners[event].add(listener)
      return () => void listeners[event].delete(listener)
    },
    joined: (memberId, places) => {
      const grouped = [...Map.groupBy(places, ({ topic }) => topic)]
      const memberAssignment = Object.fromEntries(
        grouped.map(([topic, all]) => [topic, all.map(({ partition }) => partition)]),
      )
      tell('consumer.group_join', { memberId, memberAssignment })
    },
    crashed: (error, restart) => tell('consumer.crash', { error, restart }),
  }
}
