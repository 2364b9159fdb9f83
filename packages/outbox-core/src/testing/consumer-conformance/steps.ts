import assert from 'node:assert/strict'
import type { Consumer, ConsumerEvent, ConsumerOptions, Delivery, DeliveryHandler } from '../../consumer.ts'
import type { OutboxMessage } from '../../message.ts'
import { eventually } from '../eventually.ts'
import type { ConsumerHarness, HeldDeadLetter } from './harness.ts'

/** Starts a consumer that is stopped, without waiting for its handlers, when the case ends. */
export type Consume = (topic: string, options: ConsumerOptions) => Promise<Consumer>

export async function withConsumers(
  harness: ConsumerHarness,
  work: (consume: Consume) => Promise<void>,
): Promise<void> {
  const consumers: Consumer[] = []
  try {
    await work(async (topic, options) => {
      const consumer = await harness.createConsumer(topic, { backoff: () => 0, ...options })
      consumers.push(consumer)
      await consumer.start()
      return consumer
    })
  } finally {
    await Promise.all(consumers.map((consumer) => consumer.stop({ graceMs: 100 })))
  }
}

export interface Recording {
  readonly handler: DeliveryHandler
  /** Deliveries in the order their handlers began. */
  readonly deliveries: readonly Delivery[]
  /** Ids whose handler resolved, in that order. */
  readonly handled: readonly string[]
  /** Handlers running now. */
  readonly running: number
  readonly maxRunning: number
  /** Keys that once had two handlers running at the same time. */
  readonly overlappingKeys: ReadonlySet<string>
}

/** A handler that remembers what it was given; several consumers may share one. */
export function recording(work: (delivery: Delivery) => unknown = () => {}): Recording {
  const deliveries: Delivery[] = []
  const handled: string[] = []
  const runningKeys: string[] = []
  const overlappingKeys = new Set<string>()
  let running = 0
  let maxRunning = 0
  return {
    deliveries,
    handled,
    overlappingKeys,
    get running() {
      return running
    },
    get maxRunning() {
      return maxRunning
    },
    handler: async (delivery) => {
      const { id, orderingKey } = delivery.message
      deliveries.push(delivery)
      maxRunning = Math.max(maxRunning, ++running)
      if (orderingKey !== null && runningKeys.includes(orderingKey)) overlappingKeys.add(orderingKey)
      if (orderingKey !== null) runningKeys.push(orderingKey)
      try {
        await work(delivery)
        handled.push(id)
      } finally {
        running--
        if (orderingKey !== null) runningKeys.splice(runningKeys.indexOf(orderingKey), 1)
      }
    },
  }
}

/** A door that handlers wait at. */
export interface Gate {
  readonly passed: Promise<void>
  open(): void
}

export function gate(): Gate {
  let open = (): void => {}
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { passed, open: () => open() }
}

export const ids = (messages: readonly { readonly id: string }[]): string[] => messages.map((message) => message.id)

export const deliveredIds = (recorded: Recording): string[] =>
  recorded.deliveries.map((delivery) => delivery.message.id)

export function untilHandled(
  harness: ConsumerHarness,
  recorded: Recording,
  messages: readonly OutboxMessage[],
  extraMs = 0,
): Promise<void> {
  return eventually(
    () => {
      const missing = ids(messages).filter((id) => !recorded.handled.includes(id))
      assert.equal(missing.length, 0, `${String(missing.length)} of ${String(messages.length)} messages not handled`)
    },
    { patienceMs: harness.patienceMs + extraMs },
  )
}

export function untilDeadLetters(
  harness: ConsumerHarness,
  topic: string,
  count: number,
): Promise<readonly HeldDeadLetter[]> {
  return eventually(
    async () => {
      const held = await harness.deadLetters(topic)
      assert.equal(held.length, count, 'messages in the place for dead letters')
      return held
    },
    { patienceMs: harness.patienceMs, intervalMs: 100 },
  )
}

/** Keeps what a consumer tells. */
export interface Watch {
  readonly onEvent: (event: ConsumerEvent) => void
  of<Type extends ConsumerEvent['type']>(type: Type): Extract<ConsumerEvent, { readonly type: Type }>[]
  until(type: ConsumerEvent['type'], harness: ConsumerHarness): Promise<void>
}

export function watch(): Watch {
  const events: ConsumerEvent[] = []
  const of = <Type extends ConsumerEvent['type']>(type: Type): Extract<ConsumerEvent, { readonly type: Type }>[] =>
    events.filter((event): event is Extract<ConsumerEvent, { readonly type: Type }> => event.type === type)
  return {
    onEvent: (event) => void events.push(event),
    of,
    until: (type, { patienceMs }) =>
      eventually(() => assert.ok(of(type).length > 0, `no ${type}`), { patienceMs, intervalMs: 20 }),
  }
}
