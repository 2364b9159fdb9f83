import type { Clock } from '../clock.ts'

/** A wake-up call that is not lost when it comes before the waiting. */
export interface Wake {
  /** Ends the running wait, or the next one at once. */
  now(): void
  /** Resolves after `ms` or at the next call of `now`, whichever is first. */
  wait(ms: number): Promise<void>
}

export function createWake(clock: Clock): Wake {
  let isCalled = false
  let end: (() => void) | undefined
  return {
    now: () => {
      isCalled = true
      end?.()
    },
    wait: (ms) => {
      if (isCalled || ms <= 0) {
        isCalled = false
        return Promise.resolve()
      }
      return new Promise((resolve) => {
        const cancel = clock.after(ms, () => end?.())
        end = () => {
          cancel()
          end = undefined
          isCalled = false
          resolve()
        }
      })
    },
  }
}
