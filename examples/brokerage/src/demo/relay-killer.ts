import type { HoldPoint } from '../process/run-role.ts'
import type { Child } from '../supervisor/child.ts'
import type { FeedProgress } from './feed-progress.ts'

export interface RelayKillerOptions {
  readonly kills: number
  /** @param holdAt - where the new relay is to stop at its first publish, or null */
  readonly startRelay: (holdAt: HoldPoint | null) => Promise<Child>
  readonly killRelay: () => Promise<void>
  readonly progress: FeedProgress
  /** Aborts when nothing is left to publish. */
  readonly done: AbortSignal
  /** In [0, 1): where in its part of the run each kill falls. */
  readonly random: () => number
}

export interface RelayKiller {
  /** The relay now running. */
  readonly relay: Child
  readonly kills: number
  /** Resolves when all kills are done, or nothing is left to publish. */
  readonly finished: Promise<void>
}

/**
 * Kills the relay with SIGKILL in the middle of a publish and starts another, `kills` times, spread over the run.
 * By turns the kill falls after the broker has accepted a batch that the relay has not settled, and while a batch is on
 * its way (see `relay/announced-publisher.ts`).
 */
export async function createRelayKiller(options: RelayKillerOptions): Promise<RelayKiller> {
  const { progress, done } = options
  let kills = 0
  let due = nextDue()
  let relay = await options.startRelay(holdIfDue())

  function nextDue(): number {
    return Math.floor(((kills + options.random()) / (options.kills + 1)) * progress.total)
  }

  function holdPoint(): HoldPoint {
    return kills % 2 === 0 ? 'publish-accepted' : 'publish-started'
  }

  function holdIfDue(): HoldPoint | null {
    return kills < options.kills && progress.answered >= due ? holdPoint() : null
  }

  async function killAll(): Promise<void> {
    while (kills < options.kills) {
      await progress.whenAnswered(due)
      const at = holdPoint()
      const held = relay.event(at).then(() => true)
      relay.send({ type: 'hold-next-publish', at })
      if (!(await Promise.race([held, whenAborted(done).then(() => false)]))) return
      await options.killRelay()
      kills++
      due = nextDue()
      relay = await options.startRelay(holdIfDue())
    }
  }

  return {
    get relay() {
      return relay
    },
    get kills() {
      return kills
    },
    finished: killAll(),
  }
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
