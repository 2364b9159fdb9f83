import { randomUUID } from 'node:crypto'
import { type Clock, systemClock } from '../src/adapter/index.ts'
import type {
  ConsumerOptions,
  ConsumerStore,
  DeadLetterNote,
  HeldStreams,
  ReceivedMessage,
  ReleasedStream,
} from '../src/index.ts'

interface Parked {
  readonly position: string
  readonly message: ReceivedMessage
  note: DeadLetterNote | null
}

interface Stream {
  readonly topic: string
  readonly orderingKey: string
  readonly heldAt: Date
  isHeld: boolean
  claim: symbol | null
  parked: Parked[]
}

/** What `createConsumerStore` and `createHeldStreams` keep in PostgreSQL, kept in memory: for tests of consumers without a server. */
export function createMemoryConsumerStore(): {
  readonly store: ConsumerStore
  readonly streams: HeldStreams
  readonly consumer: string
} {
  const consumer = randomUUID()
  const calls = new Map<string, { calls: number; unended: number }>()
  const held = new Map<string, Stream>()
  let positions = 0

  const callsOf = (id: string): { calls: number; unended: number } => {
    const known = calls.get(id) ?? { calls: 0, unended: 0 }
    calls.set(id, known)
    return known
  }
  const put = (stream: Stream, message: ReceivedMessage, note: DeadLetterNote | null): void => {
    const known = stream.parked.find((one) => one.message.id === message.id)
    if (known === undefined) stream.parked.push({ position: String(++positions), message, note })
    else if (note !== null) known.note = note
  }

  const store: ConsumerStore = {
    look: async ({ id, topic, orderingKey }) => ({
      ...(calls.get(id) ?? { calls: 0, unended: 0 }),
      isHeld: held.has(nameOf(topic, orderingKey)),
    }),
    begin: async (id) => {
      const known = callsOf(id)
      known.calls++
      known.unended++
    },
    ended: async (id, spends) => {
      const known = callsOf(id)
      known.unended = Math.max(0, known.unended - 1)
      if (!spends) known.calls--
    },
    count: async (id, count) => {
      const known = callsOf(id)
      known.calls = Math.max(known.calls, count)
    },
    forget: async (id) => void calls.delete(id),
    sweep: async () => {},
    hold: async (message, note) => {
      const { topic, orderingKey } = message
      const name = nameOf(topic, orderingKey)
      const fresh = { topic, orderingKey: orderingKey ?? '', heldAt: new Date(), parked: [] }
      const stream: Stream = held.get(name) ?? { ...fresh, isHeld: true, claim: null }
      Object.assign(stream, { isHeld: true, claim: null })
      held.set(name, stream)
      calls.delete(message.id)
      put(stream, message, note)
    },
    park: async (message) => {
      const stream = held.get(nameOf(message.topic, message.orderingKey))
      if (stream !== undefined) put(stream, message, null)
      return stream !== undefined
    },
    claimReleased: async () => {
      const found = [...held].find(([, { isHeld, claim }]) => !isHeld && claim === null)
      return found === undefined ? null : claimed(held, ...found)
    },
  }

  const streams: HeldStreams = {
    list: async () =>
      [...held.values()].map(({ topic, orderingKey, heldAt, isHeld, parked }) => {
        const dead = parked.find(({ note }) => note !== null)
        return {
          consumer,
          topic,
          orderingKey,
          heldAt,
          isHeld,
          deadMessageId: dead?.message.id ?? null,
          deadMessageType: dead?.message.type ?? null,
          note: dead?.note ?? null,
          waiting: parked.filter(({ note }) => note === null).length,
        }
      }),
    release: async ({ topic, orderingKey }, what) => {
      const stream = held.get(nameOf(topic, orderingKey))
      if (stream === undefined || !stream.isHeld) return false
      stream.isHeld = false
      if (what === 'discard') stream.parked = stream.parked.filter(({ note }) => note === null)
      return true
    },
  }
  return { store, streams, consumer }
}

const haste = 5

/** Operators' decisions are looked for every second, and attempts are counted over long pauses: for consumers with a store time runs faster. */
export function hurriedClock({ store }: ConsumerOptions): { readonly clock?: Clock } {
  if (store === undefined) return {}
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() * haste,
    sleep: (ms, signal) => systemClock.sleep(ms / haste, signal),
    after: (ms, callback) => systemClock.after(ms / haste, callback),
  }
  return { clock }
}

const nameOf = (topic: string, orderingKey: string | null): string => JSON.stringify([topic, orderingKey])

/** Of no effect once the stream is held again, or with somebody else. */
function claimed(held: Map<string, Stream>, name: string, stream: Stream): ReleasedStream {
  const claim = Symbol('claim')
  stream.claim = claim
  const isOurs = (): boolean => stream.claim === claim && !stream.isHeld
  const giveBack = async (): Promise<void> => {
    if (stream.claim === claim) stream.claim = null
  }
  return {
    next: async () => (isOurs() ? (stream.parked[0] ?? null) : null),
    done: async (position) => {
      if (!isOurs()) return false
      stream.parked = stream.parked.filter((one) => one.position !== position)
      return true
    },
    renew: async () => isOurs(),
    end: async () => {
      if (isOurs() && stream.parked.length === 0) held.delete(name)
      else await giveBack()
    },
    giveBack,
  }
}
