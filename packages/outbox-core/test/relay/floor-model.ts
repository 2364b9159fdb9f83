import { createFloor, type Floor } from '../../src/relay/floor.ts'

/** A small world of writers and one relay, moved by a seeded stream of numbers. Every step of the relay is interleaved with writers. */
export interface FloorRun {
  readonly lost: readonly number[]
  readonly inversions: readonly string[]
  readonly published: number
}

export interface FloorRunOptions {
  readonly seed: number
  readonly oldAfter: number
  readonly limit: number
  readonly rounds?: number
  /** Of ten writer moves, how many end a transaction: few leaves transactions open for long. */
  readonly endsInTen?: number
}

interface Row {
  readonly seq: number
  readonly key: number
}

interface Transaction {
  name: string
  readonly rows: Row[]
  readonly keys: Set<number>
  isPrepared: boolean
}

const lanes = [0, 1]

export function runFloor(options: FloorRunOptions): FloorRun {
  const world = new World(options)
  const rounds = options.rounds ?? 60
  for (let round = 0; round < rounds; round++) world.round(true)
  world.endAll()
  for (let round = 0; round < 30; round++) world.round(false)
  return { lost: world.missing(), inversions: world.inversions, published: world.publishedCount }
}

class World {
  readonly inversions: string[] = []
  readonly #floor: Floor
  readonly #options: FloorRunOptions
  readonly #random: () => number
  #drawn = 0
  #names = 0
  #open: Transaction[] = []
  #table: Row[] = []
  readonly #committed = new Set<number>()
  readonly #published = new Set<number>()
  readonly #lastOfKey = new Map<number, number>()
  /** Read and not yet deleted. */
  readonly #known: Row[] = []

  constructor(options: FloorRunOptions) {
    this.#options = options
    this.#random = mulberry32(options.seed)
    this.#floor = createFloor(options.oldAfter)
    for (const lane of lanes) this.#floor.addLane(lane)
  }

  get publishedCount(): number {
    return this.#published.size
  }

  missing(): number[] {
    return [...this.#committed].filter((seq) => !this.#published.has(seq))
  }

  endAll(): void {
    for (const transaction of this.#open.splice(0)) this.#commit(transaction)
  }

  /** One round of the read loop, with writers moving between any two looks at the database. */
  round(areWritersActive: boolean): void {
    const move = (): void => {
      if (areWritersActive) for (let n = this.#int(5); n > 0; n--) this.#moveWriter()
    }
    move()
    this.#settleSome()
    this.#floor.beginRead()
    const from = new Map(lanes.map((lane) => [lane, this.#floor.of(lane)]))
    const rows = new Map(lanes.map((lane) => [lane, this.#visible(lane, from.get(lane) ?? 0)]))
    move()
    if (this.#floor.needsConfirmation) this.#barrier(move)
    const reach = (lane: number): number => {
      const read = rows.get(lane) ?? []
      return read.length === this.#options.limit ? (read.at(-1)?.seq ?? 0) : Number.POSITIVE_INFINITY
    }
    if (this.#floor.finishRead(lanes, reach)) for (const lane of lanes) this.#publish(rows.get(lane) ?? [])
    move()
    this.#barrier(move)
  }

  #visible(lane: number, floor: number): Row[] {
    const known = new Set(this.#known.map((row) => row.seq))
    return this.#table
      .filter((row) => row.key % 2 === lane && row.seq > floor && !known.has(row.seq))
      .sort((a, b) => a.seq - b.seq)
      .slice(0, this.#options.limit)
  }

  /** PostgreSQL may look at the sequence before or after it looks at the locks. */
  #barrier(move: () => void): void {
    let drawn = this.#drawn
    const isDrawnFirst = this.#int(2) === 0
    if (isDrawnFirst) move()
    const holders = this.#open.map((transaction) => transaction.name)
    if (!isDrawnFirst) {
      move()
      drawn = this.#drawn
    }
    this.#floor.noteBarrier({ drawn, holders })
  }

  #publish(rows: readonly Row[]): void {
    for (const row of rows) {
      const last = this.#lastOfKey.get(row.key) ?? 0
      if (row.seq < last) this.inversions.push(`key ${String(row.key)}: ${String(row.seq)} after ${String(last)}`)
      this.#lastOfKey.set(row.key, Math.max(last, row.seq))
      this.#published.add(row.seq)
      this.#known.push(row)
    }
  }

  #settleSome(): void {
    const settled = new Set(this.#known.splice(0, this.#int(this.#known.length + 1)).map((row) => row.seq))
    this.#table = this.#table.filter((row) => !settled.has(row.seq))
  }

  #moveWriter(): void {
    const transaction = this.#open[this.#int(this.#open.length + 1)]
    if (transaction === undefined) {
      // It holds the table's lock from here on, and draws its first value some time later.
      if (this.#open.length < 6)
        this.#open.push({ name: `3/${String(++this.#names)}`, rows: [], keys: new Set(), isPrepared: false })
    } else if (this.#int(10) < (this.#options.endsInTen ?? 3)) this.#end(transaction)
    else if (!transaction.isPrepared) this.#draw(transaction)
  }

  #draw(transaction: Transaction): void {
    const key = this.#int(6)
    const isFree = this.#open.every((other) => other === transaction || !other.keys.has(key))
    if (!isFree) return // Writers of a key wait for each other: the aggregate is locked first.
    transaction.keys.add(key)
    transaction.rows.push({ seq: ++this.#drawn, key })
  }

  #end(transaction: Transaction): void {
    const choice = this.#int(10)
    if (choice === 0 && !transaction.isPrepared) {
      transaction.isPrepared = true
      transaction.name = `-1/${String(++this.#names)}`
      return
    }
    this.#open = this.#open.filter((other) => other !== transaction)
    if (choice !== 1) this.#commit(transaction)
  }

  #commit(transaction: Transaction): void {
    this.#table.push(...transaction.rows)
    for (const { seq } of transaction.rows) this.#committed.add(seq)
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below)
  }
}

/** A small seeded generator: the same seed gives the same run everywhere. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
