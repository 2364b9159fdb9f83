import type { Clock } from '../clock.ts'
import type { RelayEvent } from '../events.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Doorbell } from './doorbell.ts'
import type { Floor } from './floor.ts'
import type { Lanes } from './lanes.ts'
import type { Reader } from './reader.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'
import type { Scheduled } from './scheduled.ts'
import { createWake, type Wake } from './wake.ts'

export interface ReadLoopParts {
  readonly reader: Reader
  readonly scheduled: Scheduled
  readonly floor: Floor
  readonly lanes: Lanes
  readonly dispatcher: Dispatcher
  readonly doorbell: Doorbell
  readonly clock: Clock
  readonly pacing: Pick<ResolvedRelayOptions, 'pollIntervalMs' | 'rescanIntervalMs' | 'lingerMs'>
  /** Do not read before at least this much fits: many small reads cost more than one. */
  readonly minSpace: number
  readonly report: (event: RelayEvent) => void
}

/** A read of this many messages means there is traffic: stop asking writers to ring. */
const busyMessages = 50

/** Messages are counted over this long before the relay asks to be rung for each commit, or not to be. */
const countingMs = 200

/** Up to this many messages a second each commit may ring: it wakes the relay sooner than any polling, and costs writers little. */
const maxRungPerSecond = 1_000

/** Between two looks at messages for which there are no bytes in memory, in milliseconds. */
const bytesPauseMs = 20

/** Between two looks at all blocked streams, in times that the first took. */
const betweenBlocks = 4

/** A millisecond each, and only while a transaction is open that was so before the relay's first two looks. */
const mostFirstLooks = 20

/** Lanes are looked at below their floor in this many turns: beside a large backlog each lane takes a tenth of a second, and meanwhile nothing is read. */
const netTurns = 16

/** And so many times in the same interval it is asked which streams still wait. */
const blockLooks = 4

/** Decides when to look at the table, and at what. */
export class ReadLoop {
  readonly #parts: ReadLoopParts
  readonly #wake: Wake
  /** While it lingers, only its end matters. */
  readonly #ending: Wake
  #isStopped = false
  #needsBlocks = false
  /** Blocks are not loaded anew before: of very many each takes long, and others read on the same connection. */
  #blocksAtMs = 0
  #waitingAtMs = Number.POSITIVE_INFINITY
  #scheduledAtMs = Number.POSITIVE_INFINITY
  #netAtMs: number
  #netRound = 0
  #blockLookAtMs: number
  #counted = 0
  #countedSinceMs: number
  #pauseMs = 0
  /** Transactions that began before writers could see that we sleep: they will not ring. */
  #mayCommitSilently: ReadonlySet<string> = new Set()
  /** A read begun after the last of them had ended found nothing: only a ring or the next poll can bring more. */
  #isDeep = false
  #hasRead = false
  /** The last round read all there was: what comes next had better come with company. */
  #lingers = false
  #hasLooked = false

  constructor(parts: ReadLoopParts) {
    this.#parts = parts
    this.#wake = createWake(parts.clock)
    this.#ending = createWake(parts.clock)
    this.#countedSinceMs = parts.clock.monotonicMs()
    this.#netAtMs = this.#countedSinceMs + parts.pacing.rescanIntervalMs / netTurns
    this.#blockLookAtMs = this.#countedSinceMs + parts.pacing.rescanIntervalMs / blockLooks
  }

  /** Something may be there to read, or there is room again. */
  wake(): void {
    this.#wake.now()
  }

  stop(): void {
    this.#isStopped = true
    this.#wake.now()
    this.#ending.now()
  }

  /** Streams were blocked or freed since the last round: there may be more to read. */
  get mustReload(): boolean {
    return this.#needsBlocks
  }

  /** An operator, or a settled message, may have changed which streams wait. */
  reloadBlocks(): void {
    this.#needsBlocks = true
    this.#wake.now()
  }

  /** What had waited of a stream and was read is through. */
  goOn(): void {
    this.waitingDueIn(0)
    this.reloadBlocks()
  }

  /** Topics go on. */
  readable(): void {
    this.waitingDueIn(0)
    this.#wake.now()
  }

  waitingDueIn(ms: number): void {
    this.#waitingAtMs = Math.min(this.#waitingAtMs, this.#parts.clock.monotonicMs() + Math.max(0, ms))
    if (ms < this.#pauseMs) this.#wake.now()
  }

  scheduledDueIn(ms: number): void {
    this.#scheduledAtMs = Math.min(this.#scheduledAtMs, this.#parts.clock.monotonicMs() + Math.max(0, ms))
    if (ms < this.#pauseMs) this.#wake.now()
  }

  /** Waits until there may be something to do. */
  rest(): Promise<void> {
    return this.#wake.wait(Math.min(100, this.#untilNextLook()))
  }

  async run(): Promise<void> {
    while (!this.#isStopped) {
      const beganMs = this.#parts.clock.monotonicMs()
      this.#lingers = false
      const isBusy = await this.round()
      await this.#sleepOrWake(isBusy)
      if (!isBusy) await this.#wake.wait(this.#untilNextLook())
      if (this.#lingers)
        await this.#ending.wait(beganMs + this.#parts.pacing.lingerMs - this.#parts.clock.monotonicMs())
    }
  }

  /** One look at everything that may be there. @returns whether another should follow at once */
  async round(): Promise<boolean> {
    const { reader, lanes, dispatcher, clock } = this.#parts
    const unread = lanes.all().filter((lane) => !lane.isReady)
    const isFirst = unread.length > 0 && !this.#hasLooked
    if (isFirst) await this.#lookTwice()
    if (this.#needsBlocks && clock.monotonicMs() >= this.#blocksAtMs) {
      this.#needsBlocks = false
      const startMs = clock.monotonicMs()
      await reader.loadBlocks()
      const endMs = clock.monotonicMs()
      this.#blocksAtMs = endMs + (endMs - startMs) * betweenBlocks
    } else if (unread.length > 0) await reader.loadBlocks(unread)
    if (isFirst) await this.#dateWriters()
    let isBusy = await this.#lookAtClock()
    this.#hasRead = reader.space >= this.#parts.minSpace && lanes.size > 0
    if (this.#hasRead) {
      const { messages, isPartial } = await reader.read()
      dispatcher.pump()
      await reader.barrier()
      this.#counted += messages
      isBusy ||= isPartial || messages >= busyMessages
      this.#lingers = messages > 0 && !isPartial
      if (messages > 0) this.#pauseMs = 0
    }
    // After all that is healthy. A query that fails ends the session, and with it whatever the backlog expects of it.
    for (const { destination, topics } of dispatcher.startProbes())
      dispatcher.probe(destination, await reader.readSamples(topics))
    return isBusy && reader.space >= this.#parts.minSpace
  }

  /**
   * No read lifts a floor before two looks at who writes, and the first, from the bottom of all lanes, is the dearest to repeat. Of
   * a transaction that is open at either look nobody knows how old it is: most of them end while the blocks are loaded.
   */
  async #lookTwice(): Promise<void> {
    await this.#parts.reader.barrier()
    await this.#parts.reader.barrier()
    this.#hasLooked = true
  }

  /** Looks until no transaction is open of which only its end would show from where on it draws. */
  async #dateWriters(): Promise<void> {
    const { reader, floor } = this.#parts
    for (let look = 0; look < mostFirstLooks && floor.hasUndatedWriters; look++) await reader.barrier()
  }

  async #lookAtClock(): Promise<boolean> {
    const { reader, scheduled, dispatcher, clock, report } = this.#parts
    let isBusy = false
    const nowMs = clock.monotonicMs()
    if (nowMs >= this.#scheduledAtMs) {
      this.#scheduledAtMs = Number.POSITIVE_INFINITY
      if (await scheduled.move()) {
        this.#scheduledAtMs = nowMs
        isBusy = true
      }
    }
    if (nowMs >= this.#waitingAtMs && reader.space > 0) {
      this.#waitingAtMs = Number.POSITIVE_INFINITY
      const { messages, isPartial } = await reader.readWaiting()
      dispatcher.pump()
      if (isPartial) {
        // Without a message there were no bytes for one: what is in memory has to go first.
        this.#waitingAtMs = messages > 0 ? nowMs : nowMs + bytesPauseMs
        isBusy ||= messages > 0
      }
    }
    if (nowMs >= this.#netAtMs) {
      this.#netAtMs = nowMs + this.#parts.pacing.rescanIntervalMs / netTurns
      const turn = this.#netRound++ % netTurns
      const missed = await reader.findMissed((lane) => lane % netTurns === turn)
      if (missed > 0) report({ type: 'rescan.found-missed', messages: missed })
    }
    if (nowMs >= this.#blockLookAtMs) {
      this.#blockLookAtMs = nowMs + this.#parts.pacing.rescanIntervalMs / blockLooks
      // An operator may have deleted what a stream waits for, or made it ready, and nothing else would tell.
      if (reader.isAnyBlocked) this.reloadBlocks()
    }
    return isBusy
  }

  /** Asks writers to ring while messages come slowly, and not to when there is so much traffic that reads find it anyway. */
  async #sleepOrWake(isBusy: boolean): Promise<void> {
    const { doorbell, reader, floor } = this.#parts
    // Judged before this round's barrier is looked at: one that ended between the read and the barrier was not seen by it.
    this.#isDeep = doorbell.isAsleep && this.#hasRead && this.#mayCommitSilently.size === 0
    if (!doorbell.isHeard) return
    const perSecond = this.#messagesPerSecond()
    if (isBusy || (perSecond !== null && perSecond > maxRungPerSecond)) {
      await doorbell.setAsleep(false)
      return
    }
    if (!doorbell.isAsleep && perSecond !== null && (await doorbell.setAsleep(true))) {
      await reader.barrier()
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

  #untilNextLook(): number {
    const { doorbell, clock, pacing } = this.#parts
    const { pollIntervalMs } = pacing
    const isDeep = doorbell.isAsleep && this.#isDeep
    const longestMs = doorbell.isHeard ? (doorbell.isAsleep ? 250 : 20) : pollIntervalMs
    this.#pauseMs = isDeep ? pollIntervalMs : Math.min(pollIntervalMs, longestMs, Math.max(2, this.#pauseMs * 2))
    const blocksAtMs = this.#needsBlocks ? this.#blocksAtMs : Number.POSITIVE_INFINITY
    const dueMs = Math.min(this.#waitingAtMs, this.#scheduledAtMs, blocksAtMs) - clock.monotonicMs()
    return Math.max(1, Math.min(this.#pauseMs, dueMs))
  }
}
