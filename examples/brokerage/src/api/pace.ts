/** Keeps orders from being accepted faster than they are settled. */
export interface Pace {
  /** Resolves at once as long as settlement keeps up; else when it has caught up, or after `maxWaitMs`. Never rejects. */
  turn(): Promise<void>
  /** Lets all go who wait, and looks no more. Resolves when the last look has ended. */
  stop(): Promise<void>
}

export interface PaceOptions {
  /** Whether settlement is behind now. An error counts as no: nobody waits for what cannot be seen. */
  readonly isBehind: () => Promise<boolean>
  /** Told the error of the first look that fails. Those of the next ones say the same until a look succeeds. */
  readonly onError: (error: unknown) => void
  /** Told whether settlement is behind, when that changes. */
  readonly onChange?: (isBehind: boolean) => void
  /** From the end of a look to the next one's begin, in milliseconds, while orders come. @defaultValue 100 */
  readonly everyMs?: number
  /**
   * Longest wait of an order, in milliseconds.
   *
   * @defaultValue 300: with it and all else an order is answered within half a second
   */
  readonly maxWaitMs?: number
}

/**
 * Looks at settlement while orders come, and lets them wait in front of their transaction while it is behind. Those who wait go on together, so
 * they share a larger transaction, which costs less an order: what that saves settlement gets.
 *
 * Nobody is refused: what waits no longer than its clients let it is only slower. So this slows down clients who wait for answers before
 * they send more; it does not stop those who do not. An order that comes after a pause brings a look about and does not wait for it.
 */
export function createPace({ isBehind, onError, onChange, everyMs = 100, maxWaitMs = 300 }: PaceOptions): Pace {
  let waiting: (() => void)[] = []
  let behind = false
  let isBlind = false
  let stopped = false
  /** Since the last look began somebody came. */
  let isWanted = false
  let looking: Promise<void> | null = null
  let timer: NodeJS.Timeout | null = null

  function found(isBehindNow: boolean): void {
    if (isBehindNow !== behind) onChange?.(isBehindNow)
    behind = isBehindNow
    if (behind) return
    const released = waiting
    waiting = []
    for (const release of released) release()
  }

  async function seen(): Promise<boolean> {
    try {
      const isBehindNow = await isBehind()
      isBlind = false
      return isBehindNow
    } catch (error) {
      if (!isBlind) onError(error)
      isBlind = true
      return false
    }
  }

  async function look(): Promise<void> {
    isWanted = false
    found(await seen())
    looking = null
    // While it is behind also when nobody comes: who comes after a pause must not wait because of what was before it.
    timer = stopped || (!isWanted && !behind) ? null : setTimeout(begin, everyMs)
  }
  function begin(): void {
    timer = null
    looking = look()
  }

  return {
    turn: () => {
      isWanted = true
      if (stopped) return Promise.resolve()
      if (looking === null && timer === null) begin()
      if (!behind) return Promise.resolve()
      return new Promise((resolve) => {
        const timeUp = setTimeout(() => {
          waiting = waiting.filter((one) => one !== release)
          resolve()
        }, maxWaitMs)
        const release = (): void => {
          clearTimeout(timeUp)
          resolve()
        }
        waiting.push(release)
      })
    },
    stop: async () => {
      stopped = true
      if (timer !== null) clearTimeout(timer)
      timer = null
      found(false)
      await looking
      found(false)
    },
  }
}
