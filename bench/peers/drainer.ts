/** Something that empties an outbox, ours or a peer's, with a handler that does nothing. */
export interface Drainer {
  readonly name: string
  /** Empties the table. */
  clear(): Promise<unknown>
  /** Adds `count` messages in one transaction, server-side: filling is not measured. */
  fill(count: number): Promise<unknown>
  /** What autovacuum does a while after a fill: done at once, so that it does not run into the measurement. */
  vacuum(): Promise<unknown>
  /** Starts the worker; `onMessages` is told of messages handed to the handler. */
  start(onMessages: (count: number) => void): Promise<{ stop(): Promise<unknown> }>
  /** Whether nothing is left to do: everything handled and its completion committed. */
  isEmpty(): Promise<boolean>
}

export interface DrainOptions {
  readonly count: number
  /** Stop after this long and rate what was done: for peers that would need minutes. */
  readonly capMs?: number
  /** False: the last message counts when it is handed over, because more stay in the table. @defaultValue true */
  readonly untilEmpty?: boolean
}

/**
 * Messages per second from the first message handed over to the last completion committed. The time until the first
 * message (starting, polling intervals) is left out: that is a matter of latency, measured elsewhere.
 */
export async function drain(drainer: Drainer, options: DrainOptions): Promise<number> {
  await drainer.clear()
  await drainer.fill(options.count)
  await drainer.vacuum()
  return drainFilled(drainer, options)
}

/** As `drain`, of a table that is filled already. `count` messages are waited for; more may be in the table when `capMs` ends it. */
export async function drainFilled(
  drainer: Drainer,
  { count, capMs = 60_000, untilEmpty = true }: DrainOptions,
): Promise<number> {
  let done = 0
  let first = 0
  let finish = (): void => {}
  const finished = new Promise<void>((resolve) => (finish = resolve))
  const worker = await drainer.start((handled) => {
    if (done === 0) {
      first = performance.now()
      setTimeout(finish, capMs).unref()
    }
    done += handled
    if (done >= count) finish()
  })
  await finished
  if (untilEmpty && done >= count)
    while (!(await drainer.isEmpty())) await new Promise((resolve) => setTimeout(resolve, 1))
  const elapsedMs = performance.now() - first
  const rate = (done * 1000) / elapsedMs
  await worker.stop()
  return rate
}
