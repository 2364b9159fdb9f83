import { setImmediate as turn } from 'node:timers/promises'
import { textsOf } from '../../src/postgres/array-literal.ts'
import { Backlog } from '../../src/relay/backlog.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { createFloor } from '../../src/relay/floor.ts'
import { Dispatcher } from '../../src/relay/dispatcher.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { resolveRelayOptions } from '../../src/relay/resolved-options.ts'
import type { Burial, Retry } from '../../src/relay/settle.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { pausedByOperator } from '../../src/relay/suspensions.ts'
import { aBuffered } from './a-buffered.ts'
import { mulberry32 } from './floor-model.ts'
import { ModelBroker, type Row } from './model-broker.ts'
import { type ShownBlock, shownBlocks } from './shown-blocks.ts'

export interface DispatcherRun {
  readonly inversions: readonly string[]
  readonly overlaps: readonly string[]
  readonly notAlone: readonly string[]
  /** Rows never published although everything was well for a long time. */
  readonly stuck: readonly number[]
  readonly published: number
  /** Messages that were sent although the relay knew that an operator had stopped them. */
  readonly stopped: readonly number[]
  /** Batches of several routes. */
  readonly mixed: readonly string[]
  /** Messages that paid for a destination that was unavailable. */
  readonly charged: readonly number[]
}

const laneNumbers = [0, 1, 2]
const topics = ['a', 'b', 'c']
/** In every second run each of two topics has a broker of its own. */
const routes = new Map([
  ['a', { name: 'route of a', concurrency: 1 }],
  ['b', { name: 'route of b' }],
])

/**
 * A small world around the dispatcher and the backlog: a table that grows, a reader that always shows the lowest unknown rows, a
 * broker that accepts, rejects, answers halfway or hangs, destinations that come and go, a settler that takes its time, an
 * operator who replays and discards dead letters, pauses topics and holds keys, writers that commit late, and lanes that leave and come back. Moved by a seeded stream of numbers; in the end all is well and everything must get through.
 */
export async function runDispatcher(seed: number): Promise<DispatcherRun> {
  const world = new World(seed)
  for (let step = 0; step < 400; step++) await world.step(false)
  for (let step = 0; step < 3000; step++) await world.step(true)
  return world.report()
}

class World {
  readonly #random: () => number
  readonly #clock = createManualClock()
  readonly #lanes = new Lanes()
  readonly #floor = createFloor(1_000)
  readonly #backlog: Backlog
  readonly #dispatcher: Dispatcher
  readonly #rows = new Map<number, Row>()
  readonly #broker: ModelBroker
  readonly #settles: (() => void)[] = []
  readonly #charged: number[] = []
  /** Streams that an operator holds by hand. */
  readonly #holds = new Map<string, 'new' | 'heard of'>()
  readonly #letters: { readonly row: Row; isHeld: boolean }[] = []
  /** Rows whose transactions are still open. */
  readonly #open: Row[] = []
  #seq = 0
  /** Adds and commits so far. */
  #moment = 0
  #isReading = false
  #needsReload = false

  constructor(seed: number) {
    this.#random = mulberry32(seed)
    const options = resolveRelayOptions({
      pool: { connect: () => Promise.reject(new Error('not used')) },
      publisher: {
        name: 'model',
        close: () => Promise.resolve(),
        publish: (batch, signal) => this.#broker.publish(batch, signal),
        ...(seed % 2 === 0 ? {} : { routeOf: (topic) => routes.get(topic) ?? null }),
      },
      clock: this.#clock,
      batchSize: 6,
      concurrency: 3,
      maxAttempts: 1_000,
      publishTimeoutMs: 500,
      backoff: () => 20,
      outageBackoff: () => 30,
      destinationBackoff: () => 30,
      afterDeadLetter: () => (this.#random() < 0.5 ? 'hold' : 'skip'),
    })
    this.#broker = new ModelBroker(this.#random, {
      rowOf: ({ id }) => this.#rows.get(Number(id)) as Row,
      overtakenBy: (row) => this.#overtakenBy(row),
      routeOf: (topic) => options.routes.of(topic),
      isStopped: ({ stream, topic }) =>
        this.#backlog.isPaused(topic) || this.#holds.get(stream ?? '') === 'heard of' || this.#isHeldByLetter(stream),
    })
    this.#backlog = new Backlog(this.#lanes, this.#floor, options.routes.of)
    this.#dispatcher = new Dispatcher({
      options,
      backlog: this.#backlog,
      settler: {
        published: (messages) => void this.#settles.push(() => this.#settled(messages)),
        retry: (retries) => void this.#settles.push(() => this.#retried(retries)),
        bury: (burials) => void this.#settles.push(() => this.#buried(burials)),
      },
      trial: {
        begin: () => this.#later().then(() => true),
        end: async () => {
          while (this.#settles.length > 0) await this.#later()
        },
      },
      isTrusted: () => true,
      onProgress: () => {},
      onReadable: () => {},
    })
    for (const lane of laneNumbers) this.#acquire(lane)
  }

  /** @param isWell - the broker accepts everything and nothing new happens */
  async step(isWell: boolean): Promise<void> {
    const dice = this.#random()
    if (!isWell && dice < 0.01) this.#addWaiting()
    else if (!isWell && dice < 0.2) this.#add()
    else if (dice < 0.25) this.#commit()
    else if (dice < 0.45) await this.#read()
    else if (dice < 0.55) await this.#readWaiting()
    else if (dice < 0.75) this.#broker.answer(isWell)
    else if (dice < 0.88) this.#settles.shift()?.()
    else if (dice < 0.9) await this.#probe()
    else if (dice < 0.93) await this.#clock.advance(Math.floor(this.#random() * 40))
    else if (dice < 0.94) await this.#clock.advance(600)
    else if (!isWell && dice < 0.96) this.#leave()
    else if (dice < 0.97) this.#operate(isWell)
    else if (dice < 0.98) this.#steer(isWell)
    else if (!isWell && dice < 0.99) this.#trouble()
    else this.#comeBack()
    if (isWell) this.#broker.unavailable.clear()
    this.#dispatcher.pump()
    await turn()
  }

  report(): DispatcherRun {
    return {
      inversions: this.#broker.inversions,
      overlaps: this.#broker.overlaps,
      notAlone: this.#broker.notAlone,
      stuck: [...this.#rows.keys()],
      published: this.#broker.accepted.size,
      charged: this.#charged,
      stopped: this.#broker.stopped,
      mixed: this.#broker.mixed,
    }
  }

  #add(): void {
    const seq = ++this.#seq
    const lane = Math.floor(this.#random() * laneNumbers.length)
    const topic = topics[Math.floor(this.#random() * topics.length)] as string
    const stream = this.#random() < 0.2 ? null : `${topic} k${String(lane)}-${String(Math.floor(this.#random() * 2))}`
    // Suspects are what lay in the lane when it was taken over: in this world, every now and then all of the lowest.
    const maxTogether = seq % 120 < 40 ? 1 + (seq % 3) : Number.POSITIVE_INFINITY
    const drawnAt = ++this.#moment
    const written = { seq, lane, stream, topic, maxTogether, dueMs: null, attempts: 0, isUnnoticed: false, drawnAt }
    const row = { ...written, committedAt: drawnAt }
    if (this.#random() < 0.3) this.#open.push(row)
    else this.#rows.set(seq, row)
  }

  /** A whole stream waits and is due, as after an incident: more than one look takes in. */
  #addWaiting(): void {
    const lane = Math.floor(this.#random() * laneNumbers.length)
    const topic = topics[Math.floor(this.#random() * topics.length)] as string
    const stream = `${topic} r${String(lane)}`
    // What is replayed goes before what is new: none of it would be in its place before this.
    if ([...this.#rows.values()].some((row) => row.stream === stream)) return
    const dueMs = this.#clock.monotonicMs()
    for (let n = 0; n < 10; n++) {
      const [seq, drawnAt] = [++this.#seq, ++this.#moment]
      const written = { seq, lane, stream, topic, maxTogether: Number.POSITIVE_INFINITY, dueMs, attempts: 0 }
      this.#rows.set(seq, { ...written, isUnnoticed: true, drawnAt, committedAt: drawnAt })
    }
    this.#reload()
  }

  /** Late: what was drawn meanwhile, also of its own stream, may long be published, failed or buried. */
  #commit(): void {
    const [row] = this.#open.splice(Math.floor(this.#random() * this.#open.length), 1)
    if (row !== undefined) this.#rows.set(row.seq, { ...row, committedAt: ++this.#moment })
  }

  #overtakenBy(row: Row): Row[] {
    if (row.stream === null) return []
    return [...this.#rows.values()].filter(
      ({ seq, stream, isUnnoticed, committedAt }) =>
        stream === row.stream &&
        seq < row.seq &&
        committedAt <= row.drawnAt &&
        !isUnnoticed &&
        !this.#broker.accepted.has(seq),
    )
  }

  /** A destination goes away or comes back. */
  #trouble(): void {
    const topic = topics[Math.floor(this.#random() * topics.length)] as string
    if (!this.#broker.unavailable.delete(topic)) this.#broker.unavailable.add(topic)
  }

  /** An operator stops something or lets it go on. */
  #steer(isWell: boolean): void {
    const topic = topics[Math.floor(this.#random() * topics.length)] as string
    const stream = `${topic} k${String(Math.floor(this.#random() * laneNumbers.length))}-0`
    const dice = this.#random()
    if (isWell) for (const paused of topics) this.#backlog.resume(paused, pausedByOperator)
    else if (dice < 0.3) this.#backlog.suspend(topic, pausedByOperator)
    else if (dice < 0.6) this.#backlog.resume(topic, pausedByOperator)
    else if (dice < 0.8) this.#holds.set(stream, this.#holds.get(stream) ?? 'new')
    else this.#holds.delete(stream)
    if (isWell) this.#holds.clear()
    if (isWell || dice > 0.7) this.#reload()
  }

  /** An operator replays or discards a dead letter, or all of them; the relay hears of it now, or with its next look. */
  #operate(isWell: boolean): void {
    const at = Math.floor(this.#random() * this.#letters.length)
    const letters = this.#random() < 0.5 ? this.#letters.splice(0) : this.#letters.splice(at, 1)
    for (const letter of letters) {
      if (this.#random() > 0.8) continue
      // A replay that was decided later may have been written down before, and one that is put off comes later than those behind it.
      const dueMs = this.#clock.monotonicMs() + Math.floor(this.#random() * 3) * 20
      const row = { ...letter.row, dueMs, attempts: 0, isUnnoticed: true }
      this.#rows.set(row.seq, row)
    }
    if (isWell || (letters.length > 0 && this.#random() < 0.7)) this.#reload()
  }

  /** A query for samples takes its time, as a read does: what it did not see may be in the table again when its rows are there. */
  async #probe(): Promise<void> {
    for (const { destination, topics: wanted } of this.#dispatcher.startProbes()) {
      this.#backlog.beginAsking()
      const samples = this.#samplesOf(wanted).map((row) => toMessage(row, row.dueMs !== null))
      this.#isReading = true
      if (this.#random() < 0.5) await this.#meanwhile()
      this.#isReading = false
      this.#dispatcher.probe(destination, samples)
    }
    if (this.#needsReload) this.#reload(this.#random() < 0.5)
  }

  #samplesOf(wanted: readonly string[]): readonly Row[] {
    const known = this.#known()
    const rows = [...this.#rows.values()].filter(({ topic, seq }) => wanted.includes(topic) && !known.has(seq))
    const [blocked, closed] = [this.#blocked(), new Set(textsOf(this.#backlog.exclusions.streamsNotToProbe()))]
    const ready = laneNumbers.flatMap((lane) =>
      rows
        .filter((row) => row.lane === lane && row.dueMs === null && !blocked.has(row.stream ?? ''))
        .sort((a, b) => a.seq - b.seq)
        .slice(0, 1),
    )
    const due = rows
      .filter((row) => this.#isDue(row) && !closed.has(row.stream ?? '') && (this.#inOrder(row)[0] ?? row) === row)
      .slice(0, 2)
    return [...ready, ...due].slice(0, 3)
  }

  /** Shows of each lane the lowest unknown rows above its floor, up to a limit; now and then things happen meanwhile. */
  async #read(): Promise<void> {
    const known = this.#known()
    const limit = 4
    const active = this.#lanes.active()
    this.#floor.beginRead()
    this.#backlog.beginRead(active.map(({ lane }) => lane))
    const [blocked, suspended] = [this.#blocked(), new Set(this.#backlog.exclusions.suspendedTopics)]
    const shown = active.flatMap((lane) =>
      [...this.#rows.values()]
        .filter((row) => row.lane === lane.lane && row.seq > this.#floor.of(lane.lane) && row.dueMs === null)
        .sort((a, b) => a.seq - b.seq)
        .filter((row) => !known.has(row.seq) && !suspended.has(row.topic) && !blocked.has(row.stream ?? ''))
        .slice(0, limit),
    )
    this.#isReading = true
    if (this.#random() < 0.5) await this.#meanwhile()
    this.#isReading = false
    const countOf = (lane: number): number => shown.filter((row) => row.lane === lane).length
    const lastOf = (lane: number): number => shown.findLast((row) => row.lane === lane)?.seq ?? 0
    this.#floor.finishRead(
      active.map(({ lane }) => lane),
      (lane) => (countOf(lane) === limit ? lastOf(lane) : Number.POSITIVE_INFINITY),
    )
    for (const row of shown) {
      const lane = this.#lanes.get(row.lane)
      if (lane === undefined || lane.isLeaving || !active.includes(lane)) continue
      this.#backlog.add(toMessage(row, false))
    }
    this.#floor.noteBarrier({ drawn: this.#seq, holders: this.#open.map(({ seq }) => String(seq)) })
    if (this.#needsReload) this.#reload(this.#random() < 0.5)
  }

  async #meanwhile(): Promise<void> {
    for (let moves = 0; moves < 3; moves++) {
      if (this.#random() < 0.5) this.#broker.answer(false)
      else this.#settles.shift()?.()
      await turn()
    }
  }

  #known(): ReadonlySet<number> {
    return new Set(JSON.parse(this.#backlog.exclusions.seqs().replace('{', '[').replace('}', ']')) as number[])
  }

  #blocked(): ReadonlySet<string> {
    return new Set(textsOf(this.#backlog.exclusions.blockedStreams()))
  }

  #closed(): ReadonlySet<string> {
    return new Set(textsOf(this.#backlog.exclusions.closedStreams()))
  }

  async #readWaiting(): Promise<void> {
    const known = this.#known()
    const limit = this.#random() < 0.5 ? 1 : 4
    const active = this.#lanes.active()
    const [closed, suspended] = [this.#closed(), new Set(this.#backlog.exclusions.suspendedTopics)]
    const due = [...this.#rows.values()]
      .filter((row) => this.#isDue(row) && !known.has(row.seq))
      .filter(({ topic, stream }) => !suspended.has(topic) && !closed.has(stream ?? ''))
      .sort((a, b) => (a.dueMs ?? 0) - (b.dueMs ?? 0) || a.seq - b.seq)
      .slice(0, limit)
    const unknown = (row: Row): Row[] => this.#inOrder(row).filter(({ seq }) => !known.has(seq))
    const streams = new Set(due.flatMap(({ stream }) => stream ?? []))
    const runs = [...streams].flatMap((stream) => {
      const share = due.filter((row) => row.stream === stream)
      const run = unknown(share[0] as Row).slice(0, share.length)
      const end = run.findIndex((row) => !this.#isDue(row))
      return end < 0 ? run : run.slice(0, end)
    })
    const resting = due.flatMap((row) => (this.#isDue(unknown(row)[0] ?? row) ? [] : (row.stream ?? [])))
    const shown = [...due.filter(({ stream }) => stream === null), ...runs].map((row) => toMessage(row, true))
    this.#backlog.beginAsking()
    this.#isReading = true
    if (this.#random() < 0.5) await this.#meanwhile()
    this.#isReading = false
    for (const message of shown)
      if (active.includes(this.#lanes.get(message.lane) as (typeof active)[number])) this.#backlog.addWaiting(message)
    this.#backlog.endAsking()
    this.#backlog.rest(resting, due.length === limit)
    if (this.#needsReload) this.#reload(this.#random() < 0.5)
  }

  #isDue({ lane, dueMs }: Row): boolean {
    return dueMs !== null && dueMs <= this.#clock.monotonicMs() && this.#lanes.isActive(lane)
  }

  /** What waits of its stream, in sequence. */
  #inOrder({ stream }: Row): Row[] {
    if (stream === null) return []
    return [...this.#rows.values()]
      .filter((row) => row.stream === stream && row.dueMs !== null)
      .sort((a, b) => a.seq - b.seq)
  }

  #settled(messages: readonly BufferedMessage[]): void {
    for (const { seq } of messages) this.#rows.delete(seq)
    this.#backlog.settled(messages)
    this.#reload()
  }

  #retried(retries: readonly Retry[]): void {
    for (const { message, failure, delayMs } of retries) {
      if (failure.kind === 'unavailable') this.#charged.push(message.seq)
      const row = this.#rows.get(message.seq)
      if (row === undefined) continue
      row.dueMs = this.#clock.monotonicMs() + delayMs
      row.attempts++
    }
    this.#confirm(retries.map(({ message }) => message))
  }

  #buried(burials: readonly Burial[]): void {
    for (const { message, isKeyHeld } of burials) {
      const row = this.#rows.get(message.seq)
      this.#rows.delete(message.seq)
      if (row !== undefined) this.#letters.push({ row, isHeld: isKeyHeld })
    }
    this.#confirm(
      burials.map(({ message }) => message),
      burials.filter(({ isKeyHeld }) => isKeyHeld).map(({ message }) => message),
    )
  }

  #confirm(messages: readonly BufferedMessage[], held?: readonly BufferedMessage[]): void {
    this.#backlog.confirmed(messages, held)
    this.#reload(this.#random() < 0.5)
  }

  /** From its burial on: this relay wrote it down itself. */
  #isHeldByLetter(stream: string | null): boolean {
    return stream !== null && this.#letters.some(({ row, isHeld }) => isHeld && row.stream === stream)
  }

  /** On the connection that reads: never while a read is running, and put off while the last one took long. */
  #reload(isPutOff = false): void {
    this.#needsReload = this.#isReading || isPutOff
    if (this.#needsReload) return
    const begun = this.#backlog.beginReload()
    const known = this.#known()
    const waiting = new Map<string, ShownBlock>()
    for (const { lane, stream, seq, dueMs } of [...this.#rows.values()].sort((a, b) => b.seq - a.seq)) {
      if (dueMs === null || stream === null) continue
      const unread = known.has(seq) ? (waiting.get(stream)?.unread ?? null) : seq
      waiting.set(stream, { lane, stream, seq, unread, held: false })
    }
    const held = this.#letters.flatMap(({ row: { lane, stream, seq }, isHeld }) =>
      isHeld && stream !== null ? [{ lane, stream, seq, unread: null, held: true }] : [],
    )
    for (const stream of this.#holds.keys()) {
      held.push({ lane: Number(/k(\d)/.exec(stream)?.[1]), stream, seq: 0, unread: null, held: true })
      this.#holds.set(stream, 'heard of')
    }
    this.#backlog.reloadBlocks(begun, this.#lanes.numbers(), shownBlocks(...waiting.values(), ...held))
    for (const row of this.#rows.values()) row.isUnnoticed = false
  }

  #acquire(lane: number): void {
    this.#lanes.add(lane, 1)
    this.#floor.addLane(lane)
    this.#reload()
    const added = this.#lanes.get(lane)
    if (added !== undefined) added.isReady = true
  }

  #leave(): void {
    const lane = this.#lanes.get(Math.floor(this.#random() * laneNumbers.length))
    if (lane === undefined) return
    lane.isLeaving = true
    this.#backlog.leaveLane(lane.lane)
  }

  #comeBack(): void {
    for (const { lane, isLeaving } of this.#lanes.all()) {
      if (!isLeaving || this.#backlog.countOf(lane) > 0) continue
      this.#lanes.remove(lane)
      this.#floor.removeLane(lane)
      this.#backlog.removeLane(lane)
      this.#acquire(lane)
    }
  }

  #later(): Promise<void> {
    return turn().then(() => {})
  }
}

function toMessage({ seq, lane, stream, topic, maxTogether, attempts }: Row, hasWaited: boolean): BufferedMessage {
  const message = aBuffered(seq, stream, { lane, hasWaited, maxTogether })
  return { ...message, message: { ...message.message, topic, attempt: attempts + 1 } }
}
