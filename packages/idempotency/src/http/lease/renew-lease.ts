import { inBackgroundAfter, monotonicMs } from '../../clock.ts'

export interface Heartbeat {
  /** Renews no more until `resume`; resolves when a renewal under way has ended. */
  pause(): Promise<void>
  resume(): void
}

/**
 * Renews a lease at a third of its length. The lease is lost when the store says so, or when it could not be reached for
 * most of a lease, counted from before the last renewal that succeeded was sent: by then somebody else may hold it.
 *
 * @param onLost - called once, at most
 */
export function startHeartbeat(renew: () => Promise<boolean>, leaseMs: number, onLost: () => void): Heartbeat {
  let cancel = (): void => {}
  let beating: Promise<void> = Promise.resolve()
  let lost = false
  let paused = false
  let safeUntil = monotonicMs() + leaseMs * 0.9

  async function beat(): Promise<void> {
    const sentAt = monotonicMs()
    // A store that cannot be reached has not said no: try again until the lease may have run out.
    const renewed = await renew().catch(() => undefined)
    if (renewed === true) safeUntil = sentAt + leaseMs * 0.9
    lost = renewed === false || monotonicMs() > safeUntil
    if (lost) onLost()
    schedule()
  }

  function schedule(): void {
    if (lost || paused) return
    cancel = inBackgroundAfter(leaseMs / 3, () => {
      beating = beat()
    })
  }

  schedule()
  return {
    pause: async () => {
      paused = true
      cancel()
      await beating
    },
    resume: () => {
      paused = false
      schedule()
    },
  }
}
