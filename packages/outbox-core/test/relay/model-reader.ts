import { textsOf } from '../../src/postgres/array-literal.ts'
import type { Backlog } from '../../src/relay/backlog.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import type { Dispatcher } from '../../src/relay/dispatcher.ts'
import type { Floor } from '../../src/relay/floor.ts'
import type { Lanes } from '../../src/relay/lanes.ts'
import { aBuffered } from './a-buffered.ts'
import type { Row } from './model-broker.ts'
import type { ModelOperator } from './model-operator.ts'
import type { ModelTable } from './model-table.ts'
import { shownBlocks } from './shown-blocks.ts'

export interface ModelReaderParts {
  readonly random: () => number
  readonly table: ModelTable
  readonly operator: ModelOperator
  readonly backlog: Backlog
  readonly lanes: Lanes
  readonly floor: Floor
  /** What happens while a query is on its way. */
  readonly meanwhile: () => Promise<void>
}

/** The connection that reads, with one query after the other: now and then things happen between a query and its answer. */
export class ModelReader {
  readonly #parts: ModelReaderParts
  readonly #isRead: (lane: number) => boolean
  #isReading = false
  #needsReload = false

  constructor(parts: ModelReaderParts) {
    this.#parts = parts
    this.#isRead = (lane) => parts.lanes.isActive(lane)
  }

  /** Of each lane the lowest unknown rows above its floor, up to a limit. */
  async read(): Promise<void> {
    const { table, backlog, lanes, floor } = this.#parts
    const limit = 4
    const active = lanes.active()
    const known = this.#known()
    floor.beginRead()
    backlog.beginRead(active.map(({ lane }) => lane))
    const left = { known, suspended: this.#suspended(), streams: new Set(textsOf(backlog.exclusions.blockedStreams())) }
    const shown = active.flatMap(({ lane }) => table.ready(lane, floor.of(lane), limit, left))
    await this.#answer()
    const countOf = (lane: number): number => shown.filter((row) => row.lane === lane).length
    const lastOf = (lane: number): number => shown.findLast((row) => row.lane === lane)?.seq ?? 0
    floor.finishRead(
      active.map(({ lane }) => lane),
      (lane) => (countOf(lane) === limit ? lastOf(lane) : Number.POSITIVE_INFINITY),
    )
    for (const row of shown) {
      const lane = lanes.get(row.lane)
      if (lane === undefined || lane.isLeaving || !active.includes(lane)) continue
      backlog.add(toMessage(row, false))
    }
    floor.noteBarrier(table.barrier())
    this.#catchUp()
  }

  async readWaiting(): Promise<void> {
    const { random, table, backlog, lanes } = this.#parts
    const limit = random() < 0.5 ? 1 : 4
    const active = lanes.active()
    const streams = new Set(textsOf(backlog.exclusions.closedStreams()))
    const left = { known: this.#known(), suspended: this.#suspended(), streams }
    const { rows, resting, isFull } = table.waiting(this.#isRead, limit, left)
    const shown = rows.map((row) => toMessage(row, true))
    backlog.beginAsking()
    await this.#answer()
    for (const message of shown)
      if (active.includes(lanes.get(message.lane) as (typeof active)[number])) backlog.addWaiting(message)
    backlog.endAsking()
    backlog.rest(resting, isFull)
    this.#catchUp()
  }

  /** Reads samples for each destination that is to be tried. What the query did not see may be in the table again when its rows are there. */
  async probe(dispatcher: Dispatcher): Promise<void> {
    const { table, backlog } = this.#parts
    for (const { destination, topics } of dispatcher.startProbes()) {
      backlog.beginAsking()
      const { exclusions } = backlog
      const left = { known: this.#known(), streams: new Set(textsOf(exclusions.blockedStreams())) }
      const closed = new Set(textsOf(exclusions.streamsNotToProbe()))
      const samples = table.samples(topics, this.#isRead, left, closed).map((row) => toMessage(row, row.dueMs !== null))
      await this.#answer()
      dispatcher.probe(destination, samples)
    }
    this.#catchUp()
  }

  /** Loads the blocks: never while a query is on its way, and put off while the last load took long. */
  reload(isPutOff = false): void {
    const { table, operator, backlog, lanes } = this.#parts
    this.#needsReload = this.#isReading || isPutOff
    if (this.#needsReload) return
    const begun = backlog.beginReload()
    const shown = shownBlocks(...table.waitingStreams(this.#known()), ...operator.heldStreams())
    backlog.reloadBlocks(begun, lanes.numbers(), shown)
    for (const row of table.rows.values()) row.isUnnoticed = false
  }

  async #answer(): Promise<void> {
    const { random, meanwhile } = this.#parts
    this.#isReading = true
    if (random() < 0.5) await meanwhile()
    this.#isReading = false
  }

  #catchUp(): void {
    if (this.#needsReload) this.reload(this.#parts.random() < 0.5)
  }

  #known(): ReadonlySet<number> {
    const seqs = this.#parts.backlog.exclusions.seqs()
    return new Set(JSON.parse(seqs.replace('{', '[').replace('}', ']')) as number[])
  }

  #suspended(): ReadonlySet<string> {
    return new Set(this.#parts.backlog.exclusions.suspendedTopics)
  }
}

function toMessage({ seq, lane, stream, topic, maxTogether, attempts }: Row, hasWaited: boolean): BufferedMessage {
  const message = aBuffered(seq, stream, { lane, hasWaited, maxTogether })
  return { ...message, message: { ...message.message, topic, attempt: attempts + 1 } }
}
