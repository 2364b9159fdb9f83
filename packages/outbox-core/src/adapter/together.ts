/** Lets tasks run beside each other, except those that must be alone: in the order they came. */
export interface Together {
  run<Result>(alone: boolean, task: () => Promise<Result>): Promise<Result>
}

export function createTogether(): Together {
  const waiting: { readonly alone: boolean; readonly start: () => void }[] = []
  let running = 0
  let isAlone = false

  function startWhatCan(): void {
    for (let first = waiting[0]; first !== undefined && !isAlone; first = waiting[0]) {
      if (first.alone && running > 0) return
      waiting.shift()
      running++
      isAlone = first.alone
      first.start()
    }
  }

  return {
    run: async (alone, task) => {
      await new Promise<void>((start) => {
        waiting.push({ alone, start })
        startWhatCan()
      })
      try {
        return await task()
      } finally {
        running--
        isAlone = false
        startWhatCan()
      }
    },
  }
}
