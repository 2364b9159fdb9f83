/** How many requests have been answered, and a way to wait for it. */
export interface FeedProgress {
  readonly total: number
  readonly answered: number
  /** Called once for each answered request. */
  note(): void
  /** Resolves when at least so many requests have been answered. */
  whenAnswered(count: number): Promise<void>
}

export function createFeedProgress(total: number): FeedProgress {
  let answered = 0
  let waiting: { readonly count: number; readonly resolve: () => void }[] = []
  return {
    total,
    get answered() {
      return answered
    },
    note: () => {
      answered++
      const ready = waiting.filter(({ count }) => count <= answered)
      waiting = waiting.filter(({ count }) => count > answered)
      for (const { resolve } of ready) resolve()
    },
    whenAnswered: (count) =>
      new Promise((resolve) => {
        if (count <= answered) resolve()
        else waiting.push({ count, resolve })
      }),
  }
}
