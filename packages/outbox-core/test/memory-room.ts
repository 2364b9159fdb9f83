import { DeadLetterTooLargeError } from '../src/adapter/index.ts'
import { type ConsumerHarness, type MemoryBroker, type MemoryDeadLetter } from '../src/testing/index.ts'

/** So little that a note would not fit beside it. */
const largest = 10_000

/** Places for dead letters of a memory broker that take only so much, or nothing. @param refuse - throws what the place says to a letter that is too large */
export function roomForLetters(
  broker: MemoryBroker,
  refuse: () => void = () => {
    throw new DeadLetterTooLargeError('there is no room for it')
  },
): Pick<ConsumerHarness, 'removeDeadLetterPlace' | 'restoreDeadLetterPlace' | 'sendLargest' | 'narrowDeadLetterPlace'> {
  const limits = new Map<string, number>()
  broker.beforeDeadLetter((letter, topic) => {
    const limit = limits.get(topic) ?? Number.POSITIVE_INFINITY
    if (limit === 0) throw new Error('there is no such place')
    if (sizeOf(letter) > limit) refuse()
  })
  return {
    removeDeadLetterPlace: async (topic) => void limits.set(topic, 0),
    restoreDeadLetterPlace: async (topic) => void limits.delete(topic),
    sendLargest: async (topic) => {
      const body = 'x'.repeat(largest)
      limits.set(topic, largest)
      broker.putForeign(topic, body)
      return body
    },
    narrowDeadLetterPlace: async (topic) => void limits.set(topic, 2_000),
  }
}

const sizeOf = ({ body, headers, note }: MemoryDeadLetter): number =>
  body.byteLength + JSON.stringify(headers).length - '{}'.length + (note === null ? 0 : JSON.stringify(note).length)
