import type { Clock } from '../clock.ts'
import type { RelayEvent } from '../events.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Doorbell } from './doorbell.ts'
import type { Floor } from './floor.ts'
import type { Lane, Lanes } from './lanes.ts'
import type { Reader } from './reader.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'
import type { Scheduled } from './scheduled.ts'
import { createWake, type Wake } from './wake.ts'
import { Hearing } from './hearing.ts'

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

/** Between two looks at messages for which there are no bytes in memory, in milliseconds. */
const bytesPauseMs = 20

/** Between two looks at blocked streams, in times that the first took. */
const betweenBlocks = 4

/** And so many only for streams of which all is through that waited, while others wait in a crowd: each such look reads all of it. */
const betweenBlocksInCrowd = 20

/** A millisecond each, and only while a transaction is open that was so before the relay's first two looks. */
const mostFirstLooks = 20

/** Lanes are looked at below their floor in this many turns: beside a large backlog each lane takes a tenth of a second, and meanwhile nothing is read. */
const netTurns = 16

/** And so many times in the same interval it is asked which streams still wait. */
const blockLooks = 4

/** With more of them that is asked in as many turns, for the same reason. */
const fewBlocked = 500

/** What a round found. */
export interface Round {
  /** Another should follow at once. */
  readonly isBusy: boolean
  /** It read all there was: what comes next had better come with company. */
  readonly isLast: boolean
}

/** Decides when to look at the table, and at what. */
export class ReadLoop {
  readonly #parts: ReadLoopParts
  readonly #hearing: Hearing
  readonly #wake: Wake
  /** While it lingers, only its end matters. */
  readonly #ending: Wake
  #phase: 'starting' | 'reading' | 'stopped' = 'starting'
  /** When each look is due, on the monotonic clock. */
  readonly #dueMs: {
    /** Which streams are blocked. */
    blocks: number
    /** What waited of streams that go on. */
    waiting: number
    scheduled: number
    /** Some of the lanes below their floor. */
    rescan: number
    /** Whether blocked streams still have a reason. */
    blockCheck: number
  }
  /** The last look at blocked streams: of very many each takes long, and others read on the same connection. */
  #blocksLoaded = { endMs: 0, tookMs: 0 }
  /** More waits and is due than the last look at it could take. */
  #isCrowd = false
  /** Lanes of which streams may have been blocked or freed. */
  readonly #changed = new Set<number>()
  #rescans = 0
  #blockChecks = 0

  constructor(parts: ReadLoopParts) {
    const { clock, pacing } = parts
    this.#parts = parts
    this.#hearing = new Hearing({
      ...parts,
      barrier: () => parts.reader.barrier(),
      pollIntervalMs: pacing.pollIntervalMs,
    })
    this.#wake = createWake(clock)
    this.#ending = createWake(clock)
    const nowMs = clock.monotonicMs()
    const never = Number.POSITIVE_INFINITY
    this.#dueMs = {
      blocks: never,
      waiting: never,
      scheduled: never,
      rescan: nowMs + pacing.rescanIntervalMs / netTurns,
      blockCheck: nowMs + pacing.rescanIntervalMs / blockLooks,
    }
  }

  /** Something may be there to read, or there is room again. */
  wake(): void {
    this.#wake.now()
  }

  stop(): void {
    this.#phase = 'stopped'
    this.#wake.now()
    this.#ending.now()
  }

  /** Streams were blocked or freed since the last round: there may be more to read. */
  get mustReload(): boolean {
    return Number.isFinite(this.#dueMs.blocks)
  }

  /** An operator, or a settled message, may have changed which streams of the lanes wait. */
  reloadBlocks(lanes: Iterable<number> = this.#parts.lanes.numbers(), between: number = betweenBlocks): void {
    for (const lane of lanes) this.#changed.add(lane)
    const { endMs, tookMs } = this.#blocksLoaded
    this.#dueMs.blocks = Math.min(this.#dueMs.blocks, endMs + tookMs * between)
    this.#wake.now()
  }

  /** What had waited of a stream of the lanes and was read is through. */
  goOn(lanes: Iterable<number>): void {
    this.waitingDueIn(0)
    this.reloadBlocks(lanes, this.#isCrowd ? betweenBlocksInCrowd : betweenBlocks)
  }

  /** Topics go on. */
  readable(): void {
    this.waitingDueIn(0)
    this.#wake.now()
  }

  waitingDueIn(ms: number): void {
    this.#dueMs.waiting = Math.min(this.#dueMs.waiting, this.#parts.clock.monotonicMs() + Math.max(0, ms))
    if (ms < this.#hearing.pauseMs) this.#wake.now()
  }

  scheduledDueIn(ms: number): void {
    this.#dueMs.scheduled = Math.min(this.#dueMs.scheduled, this.#parts.clock.monotonicMs() + Math.max(0, ms))
    if (ms < this.#hearing.pauseMs) this.#wake.now()
  }

  /** Waits until there may be something to do. */
  rest(): Promise<void> {
    return this.#wake.wait(Math.min(100, this.#untilNextLook()))
  }

  async run(): Promise<void> {
    const { clock, pacing } = this.#parts
    while (this.#phase !== 'stopped') {
      const beganMs = clock.monotonicMs()
      const { isBusy, isLast } = await this.round()
      if (!isBusy) await this.#wake.wait(this.#untilNextLook())
      if (isLast) await this.#ending.wait(beganMs + pacing.lingerMs - clock.monotonicMs())
    }
  }

  /** One look at everything that may be there. */
  async round(): Promise<Round> {
    const { reader, lanes, dispatcher, minSpace } = this.#parts
    const unread = lanes.all().filter((lane) => !lane.isReady)
    const isFirst = unread.length > 0 && this.#phase === 'starting'
    if (isFirst) await this.#lookTwice()
    await this.#lookAtBlocks(unread)
    if (isFirst) await this.#dateWriters()
    let isBusy = await this.#lookAtClock()
    let isLast = false
    const hasRead = reader.space >= minSpace && lanes.size > 0
    if (hasRead) {
      const { messages, isPartial } = await reader.read()
      dispatcher.pump()
      await reader.barrier()
      this.#hearing.found(messages)
      isBusy ||= isPartial || messages >= busyMessages
      isLast = messages > 0 && !isPartial
    }
    // After all that is healthy. A query that fails ends the session, and with it whatever the backlog expects of it.
    for (const { destination, topics } of dispatcher.startProbes())
      dispatcher.probe(destination, await reader.readSamples(topics))
    isBusy &&= reader.space >= minSpace
    await this.#hearing.after({ isBusy, hasRead })
    return { isBusy, isLast }
  }

  /**
   * No read lifts a floor before two looks at who writes, and the first, from the bottom of all lanes, is the dearest to repeat. Of
   * a transaction that is open at either look nobody knows how old it is: most of them end while the blocks are loaded.
   */
  async #lookTwice(): Promise<void> {
    await this.#parts.reader.barrier()
    await this.#parts.reader.barrier()
    if (this.#phase === 'starting') this.#phase = 'reading'
  }

  /** Loads the list again of lanes where it changed, or that are new here. */
  async #lookAtBlocks(unread: readonly Lane[]): Promise<void> {
    const { reader, lanes, clock } = this.#parts
    const startMs = clock.monotonicMs()
    if (startMs >= this.#dueMs.blocks) {
      this.#dueMs.blocks = Number.POSITIVE_INFINITY
      const loading = lanes.all().filter(({ lane, isReady }) => !isReady || this.#changed.has(lane))
      this.#changed.clear()
      await reader.loadBlocks(loading)
      const endMs = clock.monotonicMs()
      const tookMs = endMs - startMs
      this.#blocksLoaded = { endMs, tookMs }
      this.#dueMs.blocks = Math.max(this.#dueMs.blocks, endMs + tookMs * betweenBlocks) // It may have changed again meanwhile.
    } else if (unread.length > 0) await reader.loadBlocks(unread)
  }

  /** Looks until no transaction is open of which only its end would show from where on it draws. */
  async #dateWriters(): Promise<void> {
    const { reader, floor } = this.#parts
    for (let look = 0; look < mostFirstLooks && floor.hasUndatedWriters; look++) await reader.barrier()
  }

  async #lookAtClock(): Promise<boolean> {
    const { reader, scheduled, dispatcher, lanes, clock, report, minSpace } = this.#parts
    let isBusy = false
    const nowMs = clock.monotonicMs()
    if (nowMs >= this.#dueMs.scheduled) {
      this.#dueMs.scheduled = Number.POSITIVE_INFINITY
      if (await scheduled.move()) {
        this.#dueMs.scheduled = nowMs
        isBusy = true
      }
    }
    if (nowMs >= this.#dueMs.waiting && reader.space >= minSpace) {
      this.#dueMs.waiting = Number.POSITIVE_INFINITY
      const { messages, isPartial } = await reader.readWaiting()
      dispatcher.pump()
      this.#isCrowd = isPartial
      if (!isPartial && this.mustReload) this.reloadBlocks([])
      if (isPartial) {
        // Without a message there were no bytes for one: what is in memory has to go first.
        this.#dueMs.waiting = messages > 0 ? nowMs : nowMs + bytesPauseMs
        isBusy ||= messages > 0
      }
    }
    if (nowMs >= this.#dueMs.rescan) {
      this.#dueMs.rescan = nowMs + this.#parts.pacing.rescanIntervalMs / netTurns
      const turn = this.#rescans++ % netTurns
      const missed = await reader.findMissed((lane) => lane % netTurns === turn)
      if (missed > 0) report({ type: 'rescan.found-missed', messages: missed })
    }
    if (nowMs >= this.#dueMs.blockCheck) {
      const turns = reader.blockedCount > fewBlocked ? netTurns : 1
      const turn = this.#blockChecks++ % turns
      this.#dueMs.blockCheck = nowMs + this.#parts.pacing.rescanIntervalMs / blockLooks / turns
      // An operator may have deleted what a stream waits for, or made it ready, and nothing else would tell.
      if (reader.blockedCount > 0) this.reloadBlocks(lanes.numbers().filter((lane) => lane % turns === turn))
    }
    return isBusy
  }

  #untilNextLook(): number {
    const { blocks, waiting, scheduled } = this.#dueMs
    const { reader, minSpace, clock } = this.#parts
    // Whoever makes room wakes us.
    const readMs = reader.space >= minSpace ? waiting : Number.POSITIVE_INFINITY
    const dueMs = Math.min(readMs, scheduled, blocks) - clock.monotonicMs()
    return Math.max(1, Math.min(this.#hearing.nextPauseMs(), dueMs))
  }
}
