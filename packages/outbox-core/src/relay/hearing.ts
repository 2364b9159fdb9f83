import type { Clock } from '../clock.ts'
import type { Doorbell } from './doorbell.ts'
import type { Floor } from './floor.ts'

export interface HearingParts {
  readonly doorbell: Pick<Doorbell, 'isHeard' | 'isAsleep' | 'setAsleep'>
  readonly floor: Pick<Floor, 'holders'>
  readonly clock: Clock
  readonly pollIntervalMs: number
  /** Looks at who writes. */
  readonly barrier: () => Promise<void>
}

/** Messages are counted over this long before the relay asks to be rung for each commit, or not to be. */
const countingMs = 200

/** Up to this many messages a second each commit may ring: it wakes the relay sooner than any polling, and costs writers little. */
const maxRungPerSecond = 1_000

/** How a relay that has nothing to do hears of the next commit. */
type State =
  /** Nobody rings: it looks. */
  | 'polling'
  /** Nobody is asked to ring while there is so much traffic that looks find it anyway. */
  | 'busy'
  /** Writers ring, save those that began before they could see that the relay sleeps. */
  | 'settling'
  /** A read begun after the last of those had ended found nothing: only a ring or the next poll can bring more. */
  | 'rung'

/** Longest pause between two looks, in milliseconds, where it is shorter than the poll interval. */
const longestPauseMs: Readonly<Record<State, number>> = {
  polling: Number.POSITIVE_INFINITY,
  busy: 20,
  settling: 250,
  rung: Number.POSITIVE_INFINITY,
}

/** Decides how long nobody looks, and whether writers ring. */
export class Hearing {
  readonly #parts: HearingParts
  #state: State = 'polling'
  #pauseMs = 0
  #counted = 0
  #countedSinceMs: number
  /** Transactions that began before writers could see that we sleep: they will not ring. */
  #mayCommitSilently: ReadonlySet<string> = new Set()

  constructor(parts: HearingParts) {
    this.#parts = parts
    this.#countedSinceMs = parts.clock.monotonicMs()
  }

  /** The pause under way, or the last one, in milliseconds. */
  get pauseMs(): number {
    return this.#pauseMs
  }

  /** So many messages were read. */
  found(messages: number): void {
    this.#counted += messages
    if (messages > 0) this.#pauseMs = 0
  }

  /** After a round: asks writers to ring while messages come slowly, and not to when there is much traffic. */
  async after({ isBusy, hasRead }: { readonly isBusy: boolean; readonly hasRead: boolean }): Promise<void> {
    const { doorbell } = this.#parts
    // Judged before this round's barrier is looked at: one that ended between the read and the barrier was not seen by it.
    const isCertain = doorbell.isAsleep && hasRead && this.#mayCommitSilently.size === 0
    if (doorbell.isHeard) await this.#ask(isBusy)
    if (!doorbell.isHeard) this.#state = 'polling'
    else if (!doorbell.isAsleep) this.#state = 'busy'
    else this.#state = isCertain ? 'rung' : 'settling'
  }

  /** How long to pause now, unless somebody rings: each time twice as long, up to what the state allows. */
  nextPauseMs(): number {
    const { pollIntervalMs } = this.#parts
    const doubledMs = this.#state === 'rung' ? pollIntervalMs : Math.max(2, this.#pauseMs * 2)
    this.#pauseMs = Math.min(pollIntervalMs, longestPauseMs[this.#state], doubledMs)
    return this.#pauseMs
  }

  async #ask(isBusy: boolean): Promise<void> {
    const { doorbell, floor, barrier } = this.#parts
    const perSecond = this.#messagesPerSecond()
    if (isBusy || (perSecond !== null && perSecond > maxRungPerSecond)) {
      await doorbell.setAsleep(false)
      return
    }
    if (!doorbell.isAsleep && perSecond !== null && (await doorbell.setAsleep(true))) {
      await barrier()
      this.#mayCommitSilently = floor.holders
      this.#pauseMs = 0
    }
    const { holders } = floor
    this.#mayCommitSilently = new Set([...this.#mayCommitSilently].filter((holder) => holders.has(holder)))
  }

  /** Over the last while, or null before it has passed. */
  #messagesPerSecond(): number | null {
    const nowMs = this.#parts.clock.monotonicMs()
    const elapsedMs = nowMs - this.#countedSinceMs
    if (elapsedMs < countingMs) return null
    const perSecond = (this.#counted * 1000) / elapsedMs
    this.#counted = 0
    this.#countedSinceMs = nowMs
    return perSecond
  }
}
