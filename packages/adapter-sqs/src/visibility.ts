import { ChangeMessageVisibilityBatchCommand, type Message, type SQSClient } from '@aws-sdk/client-sqs'
import { abortAfter } from '@malote/outbox-core/adapter'
import type { MessageId } from '@malote/outbox-core'
import type { Clock } from '@malote/outbox-core/adapter'

/** A message this consumer has: invisible to others until it is settled, returned or lost. */
export interface Hold {
  readonly raw: Message
  /** Our message id; null when the message could not be decoded. */
  readonly id: MessageId | null
  /** Message group, or the ordering key on a standard queue; null waits for nobody. */
  readonly key: string | null
  /** Aborts when the message is no longer ours. */
  readonly signal: AbortSignal
  /** True once it was given back or lost: it must not be handled. */
  readonly isOver: boolean
}

export interface HoldsOptions {
  readonly client: Pick<SQSClient, 'send'>
  readonly queueUrl: string
  readonly visibilityTimeoutMs: number
  readonly clock: Clock
  readonly onLost: (hold: Hold) => void
}

/** Keeps messages invisible to other consumers for as long as their handlers take, and knows when that failed. */
export interface Holds {
  readonly all: Iterable<Hold>
  /** Begins to extend what is held. */
  open(): void
  take(raw: Message, id: MessageId | null, key: string | null): Hold
  /** Whether it is still ours: neither settled nor given back nor lost. */
  has(hold: Hold): boolean
  /** The message is settled: extend it no more. */
  drop(hold: Hold): void
  /** Makes messages visible to everyone after a pause; never rejects. In order: SQS shows them in the order of its own numbers. */
  giveBack(holds: readonly Hold[], inMs: number): Promise<void>
  close(): void
}

interface HeldMessage extends Hold {
  readonly losing: AbortController
  deadlineMs: number
  isOver: boolean
}

/** SQS keeps a message from others for at most this long, in seconds. */
const maxVisibilitySeconds = 43_200
const maxEntries = 10

export function createHolds(options: HoldsOptions): Holds {
  return new SqsHolds(options)
}

class SqsHolds implements Holds {
  readonly #options: HoldsOptions
  readonly #everyMs: number
  readonly #held = new Set<HeldMessage>()
  #cancelTick = (): void => {}

  constructor(options: HoldsOptions) {
    this.#options = options
    this.#everyMs = options.visibilityTimeoutMs / 3
  }

  get all(): Iterable<Hold> {
    return this.#held
  }

  open(): void {
    this.#cancelTick = this.#options.clock.after(this.#everyMs, () => this.#tick())
  }

  take(raw: Message, id: MessageId | null, key: string | null): Hold {
    const losing = new AbortController()
    const deadlineMs = this.#options.clock.monotonicMs() + this.#options.visibilityTimeoutMs
    const hold: HeldMessage = { raw, id, key, losing, signal: losing.signal, deadlineMs, isOver: false }
    this.#held.add(hold)
    return hold
  }

  has(hold: Hold): boolean {
    return this.#held.has(hold as HeldMessage)
  }

  drop(hold: Hold): void {
    this.#held.delete(hold as HeldMessage)
  }

  async giveBack(holds: readonly Hold[], inMs: number): Promise<void> {
    for (const hold of holds as readonly HeldMessage[]) {
      this.#held.delete(hold)
      hold.isOver = true
    }
    await Promise.all(chunks(holds, maxEntries).map((group) => change(this.#options, group, inMs, 2_000)))
  }

  close(): void {
    this.#cancelTick()
  }

  #tick(): void {
    this.open()
    const now = this.#options.clock.monotonicMs()
    for (const hold of this.#held)
      if (hold.deadlineMs <= now) this.#lose(hold, new Error('its visibility could not be extended in time'))
    for (const group of chunks([...this.#held], maxEntries)) void this.#extend(group)
  }

  async #extend(group: readonly HeldMessage[]): Promise<void> {
    const { clock, visibilityTimeoutMs } = this.#options
    const deadlineMs = clock.monotonicMs() + visibilityTimeoutMs
    const answer = await change(this.#options, group, visibilityTimeoutMs, this.#everyMs)
    for (const [index, hold] of group.entries()) {
      const refusal = answer.refused.get(String(index))
      // A receipt that SQS no longer takes is gone; anything else may pass before the deadline does.
      if (refusal !== undefined && this.#held.has(hold)) this.#lose(hold, refusal)
      else if (answer.isKnown) hold.deadlineMs = deadlineMs
    }
  }

  #lose(hold: HeldMessage, error: unknown): void {
    this.#held.delete(hold)
    hold.isOver = true
    hold.losing.abort(new Error('the message is no longer held by this consumer', { cause: error }))
    this.#options.onLost(hold)
  }
}

async function change(
  { client, queueUrl }: HoldsOptions,
  group: readonly Hold[],
  inMs: number,
  patienceMs: number,
): Promise<{ isKnown: boolean; refused: Map<string | undefined, Error> }> {
  const VisibilityTimeout = Math.min(Math.ceil(inMs / 1_000), maxVisibilitySeconds)
  const Entries = group.map(({ raw }, index) => ({
    Id: String(index),
    ReceiptHandle: raw.ReceiptHandle,
    VisibilityTimeout,
  }))
  try {
    const answer = await client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries }), {
      abortSignal: abortAfter(Math.ceil(patienceMs)),
    })
    const refused = answer.Failed?.filter((entry) => entry.SenderFault === true) ?? []
    return {
      isKnown: (answer.Failed?.length ?? 0) === refused.length,
      refused: new Map(refused.map((entry) => [entry.Id, new Error(`${entry.Code ?? ''}: ${entry.Message ?? ''}`)])),
    }
  } catch {
    // Out of reach for now. Extending is tried again until the deadline; what is not given back comes back by itself.
    return { isKnown: false, refused: new Map() }
  }
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  )
}
