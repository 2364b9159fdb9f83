/** Runs tasks with bounded concurrency; tasks of one key run one after the other, in the order they were given. */
export interface KeyedQueue<Item = never> {
  /**
   * Resolves or rejects as the task does. A null key waits for nobody but the bound.
   *
   * @param item - what `waitingFor` tells of the task until it starts
   */
  run<Result>(key: string | null, task: () => Promise<Result>, item?: Item): Promise<Result>
  /** Items of the key's tasks that have not started, in the order they were given. */
  waitingFor(key: string | null): Iterable<Item>
  /** Tasks waiting or running. */
  readonly size: number
  /** Resolves when `size` is below `limit`. With the default 1: when nothing is left. */
  whenBelow(limit?: number): Promise<void>
}

interface Waiting<Item> {
  readonly key: string | null
  readonly item: Item | undefined
  readonly start: () => void
}

/** @param concurrency - tasks running at the same time, at least 1 */
export function createKeyedQueue<Item = never>(concurrency: number): KeyedQueue<Item> {
  const waiting: Waiting<Item>[] = []
  const busyKeys = new Set<string>()
  let running = 0
  let watchers: { readonly limit: number; readonly resolve: () => void }[] = []

  function startWhatCan(): void {
    for (let index = 0; index < waiting.length && running < concurrency;) {
      const candidate = waiting[index] as Waiting<Item>
      if (candidate.key !== null && busyKeys.has(candidate.key)) {
        index++
        continue
      }
      waiting.splice(index, 1)
      if (candidate.key !== null) busyKeys.add(candidate.key)
      running++
      candidate.start()
    }
  }

  function finished(key: string | null): void {
    running--
    if (key !== null) busyKeys.delete(key)
    startWhatCan()
    const size = running + waiting.length
    watchers = watchers.filter((watcher) => {
      if (size >= watcher.limit) return true
      watcher.resolve()
      return false
    })
  }

  return {
    get size() {
      return running + waiting.length
    },
    *waitingFor(key) {
      for (const one of waiting) if (key !== null && one.key === key && one.item !== undefined) yield one.item
    },
    run: <Result>(key: string | null, task: () => Promise<Result>, item?: Item): Promise<Result> =>
      new Promise<Result>((resolve, reject) => {
        const start = (): void => {
          // Free the place first: whoever waits for this task must find its follower started and `size` right.
          const ended = <Value>(settle: (value: Value) => void) => {
            return (value: Value): void => {
              finished(key)
              settle(value)
            }
          }
          new Promise<Result>((run) => run(task())).then(ended(resolve), ended(reject))
        }
        waiting.push({ key, item, start })
        startWhatCan()
      }),
    whenBelow: (limit = 1) =>
      new Promise((resolve) => {
        if (running + waiting.length < limit) resolve()
        else watchers.push({ limit, resolve })
      }),
  }
}
