import { setImmediate as turn } from 'node:timers/promises'
import { Backlog } from '../../src/relay/backlog.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { createFloor } from '../../src/relay/floor.ts'
import { Dispatcher } from '../../src/relay/dispatcher.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { resolveRelayOptions } from '../../src/relay/resolved-options.ts'
import type { Burial, Retry } from '../../src/relay/settle.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { mulberry32 } from './floor-model.ts'
import { ModelBroker, type Row } from './model-broker.ts'
import { ModelOperator } from './model-operator.ts'
import { ModelReader } from './model-reader.ts'
import { laneNumbers, ModelTable } from './model-table.ts'

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

/** In every second run each of two topics has a broker of its own. */
const routes = new Map([
  ['a', { name: 'route of a', concurrency: 1 }],
  ['b', { name: 'route of b' }],
])

/**
 * A small world around the dispatcher and the backlog: a table with its writers (`ModelTable`), a connection that reads (`ModelReader`),
 * a broker whose destinations come and go (`ModelBroker`), an operator (`ModelOperator`), a settler that takes its time, and lanes that
 * leave and come back. Moved by a seeded stream of numbers; in the end all is well and everything must get through.
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
  readonly #reader: ModelReader
  readonly #dispatcher: Dispatcher
  readonly #table: ModelTable
  readonly #operator: ModelOperator
  readonly #broker: ModelBroker
  readonly #settles: (() => void)[] = []
  readonly #charged: number[] = []

  constructor(seed: number) {
    this.#random = mulberry32(seed)
    const nowMs = (): number => this.#clock.monotonicMs()
    this.#table = new ModelTable(this.#random, nowMs)
    this.#operator = new ModelOperator(this.#random, nowMs, this.#table)
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
      rowOf: ({ id }) => this.#table.rows.get(Number(id)) as Row,
      overtakenBy: (row) => this.#table.overtakenBy(row, this.#broker.accepted),
      routeOf: (topic) => options.routes.of(topic),
      isStopped: ({ stream, topic }) => this.#backlog.isPaused(topic) || this.#operator.isKnownToHold(stream),
    })
    this.#backlog = new Backlog(this.#lanes, this.#floor, options.routes.of)
    this.#reader = new ModelReader({
      random: this.#random,
      table: this.#table,
      operator: this.#operator,
      backlog: this.#backlog,
      lanes: this.#lanes,
      floor: this.#floor,
      meanwhile: () => this.#meanwhile(),
    })
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
    if (!isWell && dice < 0.01) this.#reloadIf(this.#table.addWaiting())
    else if (!isWell && dice < 0.2) this.#table.add()
    else if (dice < 0.25) this.#table.commit()
    else if (dice < 0.45) await this.#reader.read()
    else if (dice < 0.55) await this.#reader.readWaiting()
    else if (dice < 0.75) this.#broker.answer(isWell)
    else if (dice < 0.88) this.#settles.shift()?.()
    else if (dice < 0.9) await this.#reader.probe(this.#dispatcher)
    else if (dice < 0.93) await this.#clock.advance(Math.floor(this.#random() * 40))
    else if (dice < 0.94) await this.#clock.advance(600)
    else if (!isWell && dice < 0.96) this.#leave()
    else if (dice < 0.97) this.#reloadIf(this.#operator.decide(isWell))
    else if (dice < 0.98) this.#reloadIf(this.#operator.steer(this.#backlog, isWell))
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
      stuck: [...this.#table.rows.keys()],
      published: this.#broker.accepted.size,
      charged: this.#charged,
      stopped: this.#broker.stopped,
      mixed: this.#broker.mixed,
    }
  }

  /** A destination goes away or comes back. */
  #trouble(): void {
    const topic = this.#table.randomTopic()
    if (!this.#broker.unavailable.delete(topic)) this.#broker.unavailable.add(topic)
  }

  async #meanwhile(): Promise<void> {
    for (let moves = 0; moves < 3; moves++) {
      if (this.#random() < 0.5) this.#broker.answer(false)
      else this.#settles.shift()?.()
      await turn()
    }
  }

  #settled(messages: readonly BufferedMessage[]): void {
    for (const { seq } of messages) this.#table.rows.delete(seq)
    this.#backlog.settled(messages)
    this.#reader.reload()
  }

  #retried(retries: readonly Retry[]): void {
    for (const { message, failure, delayMs } of retries) {
      if (failure.kind === 'unavailable') this.#charged.push(message.seq)
      const row = this.#table.rows.get(message.seq)
      if (row === undefined) continue
      row.dueMs = this.#clock.monotonicMs() + delayMs
      row.attempts++
    }
    this.#confirm(retries.map(({ message }) => message))
  }

  #buried(burials: readonly Burial[]): void {
    for (const { message, isKeyHeld } of burials) {
      const row = this.#table.rows.get(message.seq)
      this.#table.rows.delete(message.seq)
      if (row !== undefined) this.#operator.bury(row, isKeyHeld)
    }
    this.#confirm(
      burials.map(({ message }) => message),
      burials.filter(({ isKeyHeld }) => isKeyHeld).map(({ message }) => message),
    )
  }

  #confirm(messages: readonly BufferedMessage[], held?: readonly BufferedMessage[]): void {
    this.#backlog.confirmed(messages, held)
    this.#reader.reload(this.#random() < 0.5)
  }

  #reloadIf(isHeardOf: boolean): void {
    if (isHeardOf) this.#reader.reload()
  }

  #acquire(lane: number): void {
    this.#lanes.add(lane, 1)
    this.#floor.addLane(lane)
    this.#reader.reload()
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
