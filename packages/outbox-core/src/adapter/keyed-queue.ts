/** Runs tasks with bounded concurrency; tasks of one key run one after the other, in the order they were given. */
export interface KeyedQueue {
  /** Resolves or rejects as the task does. A null key waits for nobody but the bound. */
  run<Result>(key: string | null, task: () => Promise<Result>): Promise<Result>
  /** Tasks waiting or running. */
  readonly size: number
  /** Resolves when `size` is below `limit`. With the default 1: when nothing is left. */
  whenBelow(limit?: number): Promise<void>
}

interface Waiting {
  readonly key: string | null
  readonly start: () => void
}

/** @param concurrency - tasks running at the same time, at least 1 */
export function createKeyedQueue(concurrency: number): KeyedQueue {
  const waiting: Waiting[] = []
  const busyKeys = new Set<string>()
  let running = 0
  let watchers: { readonly limit: number; readonly resolve: () => void }[] = []

  function startWhatCan(): void {
    for (let index = 0; index < waiting.length && running < concurrency;) {
      const candidate = waiting[index] as Waiting
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
    run: <Result>(key: string | null, task: () => Promise<Result>): Promise<Result> =>
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
        waiting.push({ key, start })
        startWhatCan()
      }),
    whenBelow: (limit = 1) =>
      new Promise((resolve) => {
        if (running + waiting.length < limit) resolve()
        else watchers.push({ limit, resolve })
      }),
  }
}
