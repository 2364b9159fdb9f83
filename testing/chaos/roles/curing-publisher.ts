import { predecessorFailed, type Publisher, type PublishResult } from '../library.ts'

/** Type of messages that die, until somebody has mended what they die of. */
export const curableType = 'chaos.curable'
/** They are held behind a dead one: what comes after it waits until it is replayed. */
export const curableTopic = 'chaos-curable'
/** Keys of that topic alone. */
export const curableKeys: readonly string[] = ['curable-0', 'curable-1', 'curable-2']

export interface CuringPublisher extends Publisher {
  cure(isCured: boolean): void
}

/** Refuses what can be cured, until it is told of the cure. The broker knows one topic. */
export function curingPublisher(publisher: Publisher): CuringPublisher {
  let isCured = false
  return {
    name: publisher.name,
    close: () => publisher.close(),
    cure: (next) => {
      isCured = next
    },
    publish: async (batch, signal) => {
      const ill = new Set<string | null>()
      // What was added before the ill one is sent as ever: refused with it, it would pay an attempt that nothing made it pay.
      const isRefused = ({ topic, type, orderingKey }: (typeof batch)[number]): boolean => {
        if (!isCured && type === curableType) ill.add(orderingKey)
        return topic === curableTopic && ill.has(orderingKey)
      }
      const refused = batch.filter(isRefused)
      const sound = batch.filter((message) => !refused.includes(message))
      const results = sound.length === 0 ? [] : await publisher.publish(sound.map(known), signal)
      return [...results, ...refused.map(({ id, type }) => (type === curableType ? died(id) : waits(id)))]
    },
  }
}

const known = <Message extends { topic: string }>(message: Message): Message =>
  message.topic === curableTopic ? { ...message, topic: 'chaos' } : message

const died = (id: string): PublishResult => ({
  id,
  status: 'failed',
  failure: { kind: 'permanent', code: 'ILL', message: 'made to fail until it is cured' },
})

/** Nothing of a key is sent beside a message of it that is refused. */
const waits = (id: string): PublishResult => ({ id, status: 'failed', failure: predecessorFailed })
