import { AssertionError } from 'node:assert'
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../src/adapter/index.ts'
import type { Consumer, ConsumerOptions, ConsumerStore } from '../src/index.ts'
import {
  consumerConformance,
  type ConsumerHarness,
  createMemoryBroker,
  type MemoryBroker,
  type MemoryConsumer,
} from '../src/testing/index.ts'
import { emptied, forgetful, lastFirst } from './broken-stores.ts'
import { createMemoryConsumerStore, hurriedClock } from './memory-consumer-store.ts'
import { roomForLetters } from './memory-room.ts'

// The kits are only as good as what they refuse: each consumer here has one mistake, and the case that is named must see it.

/** Waits for little: nothing that is asked for comes late here, only never. */
function harnessOf(broker: MemoryBroker): ConsumerHarness {
  return {
    redeliveryMs: 100,
    patienceMs: 100,
    ordersByKey: true,
    ordersRetries: true,
    ordersAcrossConsumers: true,
    freshTopic: () => Promise.resolve(randomUUID()),
    createConsumer: (topic, options) =>
      Promise.resolve<Consumer>(broker.createConsumer({ topic, ...options, ...hurriedClock(options) })),
    ...roomForLetters(broker),
    consumerStore: () => Promise.resolve(createMemoryConsumerStore()),
    send: async (messages) => void (await broker.publish(messages, new AbortController().signal)),
    sendForeign: (topic, body) => Promise.resolve(broker.putForeign(topic, body)),
    deadLetters: (topic) => Promise.resolve(broker.deadLetters(topic)),
    crash: async (consumer) => {
      ;(consumer as MemoryConsumer).crash()
      await systemClock.sleep(1) // Deaths follow each other without end here: other timers must have a turn.
    },
    stopBroker: () => Promise.resolve(broker.goDown()),
    startBroker: () => Promise.resolve(broker.goUp()),
  }
}

type Mistake = (harness: ConsumerHarness, broker: MemoryBroker) => Partial<ConsumerHarness>

/** A consumer that changes what it was told. */
const consumerThat =
  (change: (options: ConsumerOptions, topic: string, broker: MemoryBroker) => Partial<ConsumerOptions>) =>
  (harness: ConsumerHarness, broker: MemoryBroker): Partial<ConsumerHarness> => ({
    createConsumer: (topic, options) =>
      harness.createConsumer(topic, { ...options, ...change(options, topic, broker) }),
  })

/** A consumer that uses its store in a wrong way. */
const consumerWhose = (change: (store: ConsumerStore) => Partial<ConsumerStore>): Mistake =>
  consumerThat(({ store }) => (store === undefined ? {} : { store: { ...store, ...change(store) } }))

const behindDeadLetter =
  "with afterDeadLetter 'hold' a stream stops behind its dead letter while others go on, over a process that ends in the middle of it, and an operator's retry handles all of it in order"
const noRoom =
  'a record that leaves no room for a note is dead-lettered with all of its body, and what comes behind it goes on'
const tooLarge =
  'a message that is too large for the place for dead letters leaves a letter that fits and says what was left out and where it was; its key goes on'
const afterDiscard =
  'a held stream whose dead letter is discarded goes on with what waited, and stops again at the next one that fails'

const consumers: readonly (readonly [mistake: string, seenBy: string, Mistake])[] = [
  [
    'takes an outage for a failure of the message',
    'while what the handler needs is away no attempt is spent and nothing is dead-lettered; all goes on, in order, within two seconds of the mend',
    consumerThat(() => ({ isOutage: () => false, pauseAfterFailures: 1_000_000, backoff: () => 0 })),
  ],
  [
    'takes one message that finds something away for one that fails',
    'one message that finds something away while others pass comes again without end and spends no attempt',
    consumerThat(() => ({ isOutage: () => false, backoff: () => 0 })),
  ],
  [
    'goes on calling handlers of which none succeeds',
    'when every delivery fails, whatever the error, the consumer pauses, says so, and dead-letters nothing until one succeeds',
    consumerThat(() => ({ pauseAfterFailures: 1_000_000, backoff: () => 0 })),
  ],
  [
    'loses dead letters',
    'a message that always fails is dead-lettered after maxAttempts, with the reason and the count, and its key goes on',
    () => ({ deadLetters: () => Promise.resolve([]) }),
  ],
  [
    'tries a message once too often',
    'a message that always fails is dead-lettered after maxAttempts, with the reason and the count, and its key goes on',
    consumerThat(({ maxAttempts = 5 }) => ({ maxAttempts: maxAttempts + 1 })),
  ],
  [
    'tries again what can never be handled',
    'a permanent failure is dead-lettered at once',
    consumerThat(({ handler }) => ({ handler: renaming(handler, 'PermanentFailure'), backoff: () => 0 })),
  ],
  [
    'has a message of an unknown type pay for each delivery',
    'an unknown type comes again as often as it must and spends no attempts',
    consumerThat(({ handler }) => ({ handler: renaming(handler, 'UnknownTypeError'), backoff: () => 0 })),
  ],
  [
    'throws away what is no message of ours',
    'a record that is no message of ours is dead-lettered as it is, without calling the handler',
    () => ({ sendForeign: () => Promise.resolve() }),
  ],
  [
    'tries again without a pause',
    'a failed message comes again no sooner than its backoff says',
    consumerThat(({ backoff }) => ({ backoff: (attempt) => (backoff?.(attempt), 0) })),
  ],
  [
    'handles messages of one key beside each other',
    'messages of one key are handled one after the other, in order where the broker keeps it, while other keys go on beside them',
    withoutKeys,
  ],
  [
    'goes on with a key behind its failed message',
    'messages behind a failed one of their key wait for it, other keys do not',
    withoutKeys,
  ],
  [
    'lets a failing key take every place',
    'fifty messages behind a failing one of their key leave room for other keys',
    consumerThat(({ handler }) => ({ handler: oneAtATime(handler) })),
  ],
  [
    'runs more handlers than it may',
    'never more handlers run than the concurrency allows',
    consumerThat(({ concurrency = 10 }) => ({ concurrency: concurrency + 3 })),
  ],
  [
    'acknowledges before the handler has ended',
    'a crash while the handler runs has the message delivered again: it was not acknowledged before',
    consumerThat(({ handler }) => ({
      handler: (delivery) => {
        handler(delivery).catch(() => {})
        return Promise.resolve()
      },
    })),
  ],
  [
    'gives what was handled again',
    'a handled message does not come again',
    consumerThat(({ handler }, _, broker) => {
      let isGivenAgain = false
      return {
        handler: async (delivery) => {
          await handler(delivery)
          if (!isGivenAgain) systemClock.after(0, () => broker.redeliver())
          isGivenAgain = true
        },
      }
    }),
  ],
  [
    'takes a letter for put away that no place has',
    'while the place for dead letters is away the message stays, is not handled again and is not told of as dead; the letter arrives within two seconds of the mend',
    () => ({ removeDeadLetterPlace: () => Promise.resolve(), restoreDeadLetterPlace: () => Promise.resolve() }),
  ],
  [
    'says that letters went back which did not',
    'a redrive brings back the dead letters its filter names, in order and with a full count; the others stay with their notes, and a dry run moves nothing',
    () => ({ redrive: () => Promise.resolve({ redriven: 3, kept: 1 }) }),
  ],
  [
    'forgets who was the death of a process',
    'a message whose handler kills its process is called maxAttempts times at the most and dead-lettered as poison; its neighbours are handled',
    forgetful,
  ],
  [
    'counts attempts for itself alone',
    'attempts go on over processes: a failure before a crash is counted, what had only been taken is not',
    forgetful,
  ],
  [
    'goes on behind its dead letter',
    behindDeadLetter,
    consumerWhose((store) => ({ look: async (message) => ({ ...(await store.look(message)), isHeld: false }) })),
  ],
  ['handles what waited out of order after a retry', behindDeadLetter, consumerWhose(lastFirst)],
  [
    'forgets the hold over a restart',
    behindDeadLetter,
    (harness) => {
      let isRestarted = false
      return {
        createConsumer: (topic, options) => {
          const { store } = isRestarted ? createMemoryConsumerStore() : options
          isRestarted = true
          return harness.createConsumer(topic, store === undefined ? options : { ...options, store })
        },
      }
    },
  ],
  [
    'takes the dead letter of a stream to the place for dead letters',
    behindDeadLetter,
    consumerThat(() => ({ afterDeadLetter: 'skip' })),
  ],
  [
    'does not go on when a dead letter is discarded',
    afterDiscard,
    consumerWhose(() => ({ claimReleased: () => Promise.resolve(null) })),
  ],
  ['throws away what waited when a dead letter is discarded', afterDiscard, consumerWhose(emptied)],
  ['drops a letter for which there is no room', noRoom, (harness) => ({ deadLetters: wholeOnes(harness) })],
  ['drops a letter that is too large', tooLarge, (harness) => ({ deadLetters: wholeOnes(harness) })],
  ['tries a letter for which there is no room again as it is', noRoom, (_, broker) => roomForLetters(broker, refuse)],
  ['tries a letter that is too large again as it is', tooLarge, (_, broker) => roomForLetters(broker, refuse)],
  ['does not say what it left out', tooLarge, (harness) => ({ deadLetters: silentOnes(harness) })],
  [
    'keeps its events to itself',
    'the observer hears of the start, of each message handled and of the stop',
    consumerThat(() => ({ onEvent: () => {} })),
  ],
]

/** The letters that carry everything. */
const wholeOnes =
  (harness: ConsumerHarness): ConsumerHarness['deadLetters'] =>
  async (topic) =>
    (await harness.deadLetters(topic)).filter(({ note }) => note !== null && note.omitted === undefined)

/** Letters that say nothing of what is missing. */
const silentOnes =
  (harness: ConsumerHarness): ConsumerHarness['deadLetters'] =>
  async (topic) =>
    (await harness.deadLetters(topic)).map(({ note, ...letter }) => {
      const { omitted: _, ...rest } = note!
      return { ...letter, note: rest }
    })

/** What any trouble of the place says. */
function refuse(): void {
  throw new Error('refused')
}

/** The error that would say something is any error to this one. */
function renaming(handler: ConsumerOptions['handler'], name: string): ConsumerOptions['handler'] {
  return (delivery) =>
    handler(delivery).catch((error: unknown) => {
      throw (error as Error).name === name ? new Error((error as Error).message) : error
    })
}

/** A handler that fails keeps the place until its message is handled. */
function oneAtATime(handler: ConsumerOptions['handler']): ConsumerOptions['handler'] {
  let last: Promise<unknown> = Promise.resolve()
  return (delivery) => {
    const mine = last.then(async () => {
      for (;;) {
        const failed = await handler(delivery).then(
          () => false,
          () => true,
        )
        if (!failed || delivery.signal.aborted) return
        await systemClock.sleep(50, delivery.signal)
      }
    })
    last = mine
    return mine
  }
}

/** The broker is not told which messages belong together; handlers are. */
function withoutKeys(harness: ConsumerHarness): Partial<ConsumerHarness> {
  const keys = new Map<string, string | null>()
  return {
    send: (messages) => {
      for (const { id, orderingKey } of messages) keys.set(id, orderingKey)
      return harness.send(messages.map((message) => ({ ...message, orderingKey: null })))
    },
    createConsumer: (topic, { handler, ...options }) =>
      harness.createConsumer(topic, {
        ...options,
        handler: ({ message, ...delivery }) =>
          handler({ ...delivery, message: { ...message, orderingKey: keys.get(message.id) ?? null } }),
      }),
  }
}

const caseOf = (name: string) => consumerConformance.find((one) => one.name === name)!
const controlled = [behindDeadLetter, afterDiscard, noRoom, tooLarge]
/** A decision about a held stream is seen a while later: what is asked for there may come late, too. */
const patient = { patienceMs: 500 }

describe.concurrent('a consumer that', () => {
  it.each(consumers)('%s fails the case "%s"', async (_, seenBy, mistake) => {
    const broker = createMemoryBroker()
    const harness = { ...harnessOf(broker), ...(controlled.includes(seenBy) ? patient : {}) }

    await expect(caseOf(seenBy).run({ ...harness, ...mistake(harness, broker) })).rejects.toThrow(AssertionError)
  })

  it.each(controlled)('has no mistake passes the case "%s"', async (name) => {
    await expect(caseOf(name).run({ ...harnessOf(createMemoryBroker()), ...patient })).resolves.toBeUndefined()
  })
})
