/** As many as are asked for again before they are forgotten, in a few megabytes. */
const limit = 10_000

/**
 * Keys of which this process has seen a record, the latest of them. A hint and nothing else: who finds no record any more claims the key,
 * and who is not remembered here may have one all the same, of another process.
 */
export interface RememberedKeys {
  has(mark: string): boolean
  add(mark: string): void
  forget(mark: string): void
}

export function createRememberedKeys(): RememberedKeys {
  const marks = new Set<string>()
  return {
    has: (mark) => marks.has(mark),
    add: (mark) => {
      marks.add(mark)
      if (marks.size > limit) marks.delete(marks.values().next().value as string)
    },
    forget: (mark) => void marks.delete(mark),
  }
}
