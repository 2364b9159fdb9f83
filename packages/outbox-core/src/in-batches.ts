import { numberOption } from './options.ts'
import { afterThisTurn, systemClock } from './clock.ts'
import {
  createStreamHandler,
  type StreamBatchesOptions,
  type StreamBatchFunction,
  type StreamHandler,
} from './stream-handler.ts'

/** How large a batch of `inBatches` may grow, how long an item may wait for others, and how many batches run at the same time. */
export interface InBatchesOptions {
  /** @defaultValue false: items of any kind go together */
  readonly byStream?: false
  /** Items in one call at the most. @defaultValue 100: a statement of that size is about as cheap per row as it gets */
  readonly maxSize?: number
  /** Calls under way at the same time. @defaultValue 1: what arrives meanwhile makes the next batch larger */
  readonly concurrency?: number
  /**
   * Longest wait of an item for company before a batch that is not full runs, in milliseconds. Trades latency for fewer and
   * larger batches: worth it where work comes steadily and each call is dear.
   *
   * @defaultValue 0: nobody waits, batches grow while another runs
   */
  readonly lingerMs?: number
  /**
   * How many items can be waiting at the most right now, for example the messages that a consumer has in hand. A batch that holds them
   * all runs at once instead of lingering for company that cannot come. It is asked whenever an item arrives. Needs `lingerMs`.
   *
   * @defaultValue `maxSize`: company may always come
   */
  readonly expected?: () => number
}

interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * Turns work that is cheaper for many items at a time into a function of one item: calls made while `run` is busy are
 * gathered, and the next `run` gets them together, in the order they came. Nobody waits for a batch to fill: with little to
 * do each item runs at once and alone, under load batches grow by themselves.
 *
 * As a consumer's handler this gives batches on any broker. The consumer still counts attempts and acknowledges per message,
 * and still has no two messages of one ordering key under way, so a batch holds at most one of each. Batches grow no larger than
 * the consumer's `concurrency`.
 *
 * @param run - gets at least one item, and settles each of them: one outcome per item, in the order given, in the shape of
 *   `Promise.allSettled`. When it throws, every item of the batch fails with that error.
 * @returns resolves or rejects with the item's own outcome
 * @throws OutboxError `INVALID_OPTION`
 */
export function inBatches<Item, Result = void>(
  run: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Result>[]>,
  options?: InBatchesOptions,
): (item: Item) => Promise<Result>
/**
 * A consumer's handler that takes all that waits of one stream (topic and ordering key) together, in its order: a hot account applies tens of
 * messages in one transaction. Messages without a key come alone. Nobody waits for a batch to fill. A batch takes one place of the
 * consumer's `concurrency`, and no other message of its stream is handled while it runs.
 *
 * Nothing is acknowledged before it is applied. What a batch does not apply is handled one by one afterwards, in order and in calls of one message:
 * only there attempts are counted, so that nobody pays for a neighbour, and behind a failing message its stream waits as ever. A message that failed
 * before comes alone; with a `store`, also one that the broker may have delivered before.
 *
 * Not promised: how many come together. It is what the consumer has in hand (`prefetch`, `maxBufferedMessages`; ten of a group on SQS FIFO).
 *
 * @param run - gets at least one delivery. Throwing says that nothing was applied, so let one transaction hold it all
 * @throws OutboxError `INVALID_OPTION`
 */
export function inBatches(run: StreamBatchFunction, options: StreamBatchesOptions): StreamHandler
export function inBatches<Item, Result>(
  run: ((items: readonly Item[]) => Promise<readonly PromiseSettledResult<Result>[]>) | StreamBatchFunction,
  options: InBatchesOptions | StreamBatchesOptions = {},
): ((item: Item) => Promise<Result>) | StreamHandler {
  if (options.byStream === true) return createStreamHandler(run as StreamBatchFunction, options)
  return gathering(run as (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Result>[]>, options)
}

function gathering<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Result>[]>,
  options: InBatchesOptions,
): (item: Item) => Promise<Result> {
  const maxSize = numberOption('maxSize', options.maxSize, 100, { min: 1 })
  const concurrency = numberOption('concurrency', options.concurrency, 1, { min: 1 })
  const lingerMs = numberOption('lingerMs', options.lingerMs, 0, { min: 0, max: 60_000, integer: false })
  let waiting: Waiting<Item, Result>[] = []
  let running = 0
  let cancelStart: (() => void) | null = null

  async function runOne(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    running++
    const outcomes = await outcomesOf(run, batch)
    running-- // First: whoever is woken by an outcome may bring the next item.
    batch.forEach(({ resolve, reject }, at) => {
      const outcome = outcomes[at] as PromiseSettledResult<Result>
      if (outcome.status === 'fulfilled') resolve(outcome.value)
      else reject(outcome.reason)
    })
    startSoon()
  }

  function start(): void {
    cancelStart = null
    while (waiting.length > 0 && running < concurrency) {
      const batch = waiting.slice(0, maxSize)
      waiting = waiting.slice(maxSize)
      void runOne(batch)
    }
  }

  function startSoon(): void {
    if (waiting.length === 0 || running >= concurrency) return
    const isFull = waiting.length >= Math.min(maxSize, options.expected?.() ?? maxSize)
    if (cancelStart !== null && !isFull) return
    cancelStart?.()
    cancelStart = isFull || lingerMs === 0 ? afterThisTurn(start) : systemClock.after(lingerMs, start)
  }

  return (item) =>
    new Promise<Result>((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      startSoon()
    })
}

/** Only exactly `fulfilled` is success: of anything else the item fails, and comes again. */
function outcomeOf<Result>(given: unknown): PromiseSettledResult<Result> {
  const { status, reason } = (given ?? {}) as { status?: unknown; reason?: unknown }
  if (status === 'fulfilled') return given as PromiseFulfilledResult<Result>
  if (status === 'rejected') return { status, reason }
  return { status: 'rejected', reason: new TypeError('run gave an outcome that is neither fulfilled nor rejected') }
}

/** One outcome per item. Never rejects. */
async function outcomesOf<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Result>[]>,
  batch: readonly Waiting<Item, Result>[],
): Promise<readonly PromiseSettledResult<Result>[]> {
  try {
    const outcomes: unknown = await run(batch.map(({ item }) => item))
    if (!Array.isArray(outcomes)) throw new TypeError('run must resolve with an array of outcomes, one for each item')
    // Guessing whose is missing would acknowledge the wrong one.
    if (outcomes.length !== batch.length)
      throw new TypeError(`run gave ${String(outcomes.length)} outcomes for ${String(batch.length)} items`)
    return outcomes.map(outcomeOf<Result>)
  } catch (reason) {
    return batch.map(() => ({ status: 'rejected', reason }))
  }
}
