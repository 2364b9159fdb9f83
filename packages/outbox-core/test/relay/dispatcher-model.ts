import { setImmediate as turn } from 'node:timers/promises'
import { Blocks } from '../../src/relay/blocks.ts'
import { type BufferedMessage, createBuffer } from '../../src/relay/buffer.ts'
import { createFloor } from '../../src/relay/floor.ts'
import { Dispatcher } from '../../src/relay/dispatcher.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { resolveRelayOptions } from '../../src/relay/resolved-options.ts'
import { Schedule } from '../../src/relay/schedule.ts'
import type { Burial, Retry } from '../../src/relay/settle.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { aBuffered } from './a-buffered.ts'
import { mulberry32 } from './floor-model.ts'
import { ModelBroker, type Row } from './model-broker.ts'

export interface DispatcherRun {
  readonly inversions: readonly string[]
  readonly overlaps: readonly string[]
  readonly notAlone: readonly string[]
  /** Rows never published although everything was well for a long time. */
  readonly stuck: readonly number[]
  readonly published: number
}

const laneNumbers = [0, 1, 2]

/**
 * A small world around the dispatcher, the schedule, the blocks and the outage: a table that grows, a reader that always
 * shows the lowest unknown rows, a broker that accepts, rejects, answers halfway or hangs, a settler that takes its time, and
 * lanes that leave and come back. Moved by a seeded stream of numbers; in the end all is well and everything must get through.
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
  readonly #schedule = new Schedule()
  readonly #buffer = createBuffer()
  readonly #lanes = new Lanes()
  readonly #blocks = new Blocks()
  readonly #floor = createFloor(1_000)
  readonly #dispatcher: Dispatcher
  readonly #rows = new Map<number, Row>()
  readonly #broker: ModelBroker
  readonly #settles: (() => void)[] = []
  #seq = 0

  constructor(seed: number) {
    this.#random = mulberry32(seed)
    this.#broker = new ModelBroker(this.#random, ({ id }) => this.#rows.get(Number(id)) as Row)
    const options = resolveRelayOptions({
      pool: { connect: () => Promise.reject(new Error('not used')) },
      publisher: {
        name: 'model',
        close: () => Promise.resolve(),
        publish: (batch, signal) => this.#broker.publish(batch, signal),
      },
      clock: this.#clock,
      batchSize: 6,
      concurrency: 3,
      maxAttempts: 1_000,
      publishTimeoutMs: 500,
      backoff: () => 20,
      outageBackoff: () => 30,
    })
    this.#dispatcher = new Dispatcher({
      options,
      schedule: this.#schedule,
      buffer: this.#buffer,
      blocks: this.#blocks,
      lanes: this.#lanes,
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
    })
    for (const lane of laneNumbers) this.#acquire(lane)
  }

  /** @param isWell - the broker accepts everything and nothing new happens */
  async step(isWell: boolean): Promise<void> {
    const dice = this.#random()
    if (!isWell && dice < 0.25) this.#add()
    else if (dice < 0.45) await this.#read()
    else if (dice < 0.55) this.#readWaiting()
    else if (dice < 0.75) this.#broker.answer(isWell)
    else if (dice < 0.88) this.#settles.shift()?.()
    else if (dice < 0.93) await this.#clock.advance(Math.floor(this.#random() * 40))
    else if (dice < 0.94) await this.#clock.advance(600)
    else if (!isWell && dice < 0.97) this.#leave()
    else this.#comeBack()
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
    }
  }

  #add(): void {
    const seq = ++this.#seq
    const lane = Math.floor(this.#random() * laneNumbers.length)
    const order = this.#random() < 0.2 ? null : `k${String(lane)}-${String(Math.floor(this.#random() * 2))}`
    // Suspects are what lay in the lane when it was taken over: in this world, every now and then all of the lowest.
    const company = seq % 120 < 40 ? 1 + (seq % 3) : Number.POSITIVE_INFINITY
    this.#rows.set(seq, { seq, lane, order, company, dueMs: null, attempts: 0 })
  }

  /** Shows of each lane the lowest unknown rows above its floor, up to a limit; now and then things happen meanwhile. */
  async #read(): Promise<void> {
    const known = this.#known()
    const limit = 4
    const active = this.#lanes.active()
    this.#floor.beginRead()
    const shown = active.flatMap((lane) =>
      [...this.#rows.values()]
        .filter((row) => row.lane === lane.lane && row.seq > this.#floor.of(lane.lane) && row.dueMs === null)
        .filter((row) => !known.has(row.seq) && (row.order === null || !this.#blocks.has(row.order)))
        .slice(0, limit),
    )
    if (this.#random() < 0.5) await this.#meanwhile()
    const countOf = (lane: number): number => shown.filter((row) => row.lane === lane).length
    const lastOf = (lane: number): number => shown.findLast((row) => row.lane === lane)?.seq ?? 0
    this.#floor.finishRead(
      active.map(({ lane }) => lane),
      (lane) => (countOf(lane) === limit ? lastOf(lane) : Number.POSITIVE_INFINITY),
    )
    for (const row of shown) {
      const lane = this.#lanes.get(row.lane)
      if (lane === undefined || lane.isLeaving || !active.includes(lane)) continue
      if (row.order !== null && this.#blocks.has(row.order)) continue
      this.#take(row, false)
    }
    this.#floor.noteBarrier({ drawn: this.#seq, holders: [] })
  }

  async #meanwhile(): Promise<void> {
    for (let moves = 0; moves < 3; moves++) {
      if (this.#random() < 0.5) this.#broker.answer(false)
      else this.#settles.shift()?.()
      await turn()
    }
  }

  #known(): ReadonlySet<number> {
    return new Set(JSON.parse(this.#buffer.seqs().replace('{', '[').replace('}', ']')) as number[])
  }

  #readWaiting(): void {
    const known = this.#known()
    for (const row of this.#rows.values()) {
      if (row.dueMs === null || row.dueMs > this.#clock.monotonicMs() || known.has(row.seq)) continue
      if (!this.#lanes.isActive(row.lane)) continue
      if (row.order !== null) {
        if (!this.#blocks.has(row.order))
          for (const message of this.#schedule.dropOrder(row.order)) this.#buffer.drop(message)
        this.#blocks.block(row.order, row.lane, row.seq, { pending: false })
      }
      this.#take(row, true)
    }
  }

  #take({ seq, lane, order, company, attempts }: Row, hasWaited: boolean): void {
    const message = aBuffered(seq, order, { lane, hasWaited, company })
    const numbered = { ...message, message: { ...message.message, attempt: attempts + 1 } }
    this.#buffer.add(numbered)
    this.#schedule.add(numbered)
  }

  #settled(messages: readonly BufferedMessage[]): void {
    for (const { seq } of messages) this.#rows.delete(seq)
    this.#buffer.settled(messages)
    this.#reload()
  }

  #retried(retries: readonly Retry[]): void {
    for (const { message, delayMs } of retries) {
      const row = this.#rows.get(message.seq)
      if (row === undefined) continue
      row.dueMs = this.#clock.monotonicMs() + delayMs
      row.attempts++
    }
    this.#confirm(retries.map(({ message }) => message))
  }

  #buried(burials: readonly Burial[]): void {
    for (const { message } of burials) this.#rows.delete(message.seq)
    this.#confirm(burials.map(({ message }) => message))
  }

  #confirm(messages: readonly BufferedMessage[]): void {
    this.#buffer.settled(messages)
    for (const { order } of messages) if (order !== null) this.#blocks.confirm(order)
    this.#reload()
  }

  #reload(): void {
    const begun = this.#blocks.beginReload()
    const waiting = [...this.#rows.values()].flatMap(({ lane, order, seq, dueMs }) =>
      dueMs === null || order === null ? [] : [{ lane, order, seq, held: false }],
    )
    const { blocked, rewinds } = this.#blocks.reload(begun, new Set(this.#lanes.numbers()), waiting)
    for (const { lane, seq } of rewinds) this.#floor.rewind(lane, seq)
    for (const order of blocked) for (const message of this.#schedule.dropOrder(order)) this.#buffer.drop(message)
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
    for (const message of this.#schedule.dropLane(lane.lane)) this.#buffer.drop(message)
    this.#dispatcher.drop((message) => !this.#lanes.isActive(message.lane))
  }

  #comeBack(): void {
    for (const { lane, isLeaving } of this.#lanes.all()) {
      if (!isLeaving || this.#buffer.countOf(lane) > 0) continue
      this.#lanes.remove(lane)
      this.#floor.removeLane(lane)
      this.#blocks.removeLane(lane)
      this.#acquire(lane)
    }
  }

  #later(): Promise<void> {
    return turn().then(() => {})
  }
}
