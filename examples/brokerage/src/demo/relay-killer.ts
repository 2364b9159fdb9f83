import type { HoldPoint } from '../process/run-role.ts'
import type { Child } from './child.ts'

export interface RelayKillerOptions {
  readonly kills: number
  readonly startRelay: () => Promise<Child>
  /** Resolves when so much of the work, from 0 to 1, has been sent; rejects when the run is aborted. */
  readonly whenProgress: (share: number) => Promise<void>
  /** Aborts when nothing is left to publish. */
  readonly done: AbortSignal
  /** In [0, 1): where in its part of the run each kill falls. */
  readonly random: () => number
}

export interface RelayKiller {
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
  let relay = await options.startRelay()
  let kills = 0

  async function killOnce(): Promise<boolean> {
    const at: HoldPoint = kills % 2 === 0 ? 'publish-accepted' : 'publish-started'
    const held = relay.event(at).then(() => true)
    relay.send({ type: 'hold-next-publish', at })
    const isHeld = await Promise.race([held, whenAborted(options.done).then(() => false)])
    if (!isHeld) return false
    await relay.kill()
    kills++
    relay = await options.startRelay()
    return true
  }

  async function killAll(): Promise<void> {
    while (kills < options.kills) {
      await options.whenProgress((kills + options.random()) / (options.kills + 1))
      if (options.done.aborted || !(await killOnce())) return
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
