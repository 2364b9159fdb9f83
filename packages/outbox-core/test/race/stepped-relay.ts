import type pg from 'pg'
import { type Clock, systemClock } from '../../src/clock.ts'
import { type Connection, type Connections, openConnections } from '../../src/postgres/connections.ts'
import { createLaneReads } from '../../src/postgres/lane-reads.ts'
import { createMembershipQueries } from '../../src/postgres/membership.ts'
import { createMessageReads } from '../../src/postgres/message-reads.ts'
import { createSettles, type Settles } from '../../src/postgres/settles.ts'
import { createUnstorableQueries } from '../../src/postgres/unstorable.ts'
import { maxStoredBytes } from '../../src/encode.ts'
import { Backlog } from '../../src/relay/backlog.ts'
import { createFloor, type Floor } from '../../src/relay/floor.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { Membership } from '../../src/relay/membership.ts'
import { Reader } from '../../src/relay/reader.ts'
import { Settler } from '../../src/relay/settle.ts'
import { createTrial, type Trial } from '../../src/relay/trial.ts'
import { uuidv7 } from '../../src/uuid.ts'

/** Waits for as long as the test wants between a statement and what is on either side of it. */
export type Gate = (moment: 'before' | 'after', text: string, values?: readonly unknown[]) => Promise<void>

/** The parts of a real relay without its loops: a test does one step after another, in the order it writes down. */
export interface SteppedRelay {
  readonly relayId: string
  readonly connections: Connections
  readonly floor: Floor
  readonly lanes: Lanes
  readonly backlog: Backlog
  readonly reader: Reader
  readonly membership: Membership
  readonly settler: Settler
  readonly wasFenced: () => boolean
  /** One round of the read loop, then publishes and settles all of it. @returns the payloads, in order */
  step(): Promise<string[]>
  /** Takes everything that may be sent and settles it. @returns the payloads, in order */
  publishAll(): Promise<string[]>
  /** Called before each statement of the reading connection is sent (`before`) and after its answer came (`after`). */
  onRead(gate: Gate): void
}

export interface SteppedRelayOptions {
  readonly oldAfter?: number
  readonly maxMessages?: number
  readonly leaseMs?: number
  readonly acquire?: number
  /** For the lease alone. @defaultValue the system's clock */
  readonly clock?: Clock
}

const schema = 'malote'
const limits = { maxPayloadBytes: maxStoredBytes, maxAttempts: 3 }

export async function createSteppedRelay(pool: pg.Pool, options: SteppedRelayOptions = {}): Promise<SteppedRelay> {
  const connections = await openConnections(pool, systemClock, () => {})
  const relay = new Stepped(connections, options)
  await relay.membership.join()
  for (const lane of await relay.membership.acquire(options.acquire ?? 64)) relay.floor.addLane(lane)
  await relay.reader.loadBlocks()
  return relay
}

class Stepped implements SteppedRelay {
  readonly relayId: string = uuidv7()
  readonly connections: Connections
  readonly floor: Floor
  readonly lanes: Lanes = new Lanes()
  readonly backlog: Backlog
  readonly reader: Reader
  readonly membership: Membership
  readonly settler: Settler
  readonly #trial: Trial
  readonly #writes: Settles
  #gate: Gate = () => Promise.resolve()
  #isFenced = false

  constructor(connections: Connections, options: SteppedRelayOptions) {
    this.connections = connections
    this.floor = createFloor(options.oldAfter ?? 20_000)
    this.backlog = new Backlog(this.lanes, this.floor)
    this.#writes = createSettles(connections.settler, { schema, relayId: this.relayId, isDurable: false })
    this.settler = this.#createSettler()
    this.#trial = createTrial({
      writes: this.#writes,
      settler: this.settler,
      onLost: (_reason, cause) => {
        throw cause
      },
    })
    this.reader = this.#createReader(options)
    this.membership = new Membership({
      queries: createMembershipQueries(connections.control, { schema, relayId: this.relayId }),
      name: 'stepped',
      leaseMs: options.leaseMs ?? 30_000,
      presence: false,
      lanes: this.lanes,
      clock: options.clock ?? systemClock,
      unstorable: createUnstorableQueries(connections.control, schema),
      onUnstorable: () => {},
    })
  }

  wasFenced(): boolean {
    return this.#isFenced
  }

  async step(): Promise<string[]> {
    await this.reader.read()
    await this.reader.barrier()
    return this.publishAll()
  }

  async publishAll(): Promise<string[]> {
    const batch = this.backlog.take(100_000)
    this.backlog.end(batch, { failed: [], returned: [] })
    this.settler.published(batch)
    await this.settler.idle()
    return batch.map(({ message }) => String(message.body))
  }

  onRead(gate: Gate): void {
    this.#gate = gate
  }

  #createReader({ maxMessages = 5_000 }: SteppedRelayOptions): Reader {
    const { reader, settler, control } = this.connections
    const { floor, lanes, backlog } = this
    const gated: Connection['query'] = async <Row>(text: string, values?: readonly unknown[]) => {
      await this.#gate('before', text, values)
      const result = await reader.query<Row>(text, values)
      await this.#gate('after', text, values)
      return result
    }
    const connection: Connection = {
      ...reader,
      query: gated,
      queryPrepared: (_name, text, values) => gated(text, values),
    }
    const ownPids = [reader.pid, settler.pid, control.pid]
    return new Reader({
      reads: {
        ...createMessageReads(connection, { schema, isSession: true, ...limits }),
        ...createLaneReads(connection, { schema, sequence: 'malote.messages_seq_seq', isSession: true, ownPids }),
      },
      floor,
      lanes,
      backlog,
      maxMessages,
      maxBytes: 16 * 1024 * 1024,
      ...limits,
      trial: this.#trial,
    })
  }

  #createSettler(): Settler {
    const { backlog, lanes } = this
    return new Settler({
      writes: this.#writes,
      lanes,
      endings: {
        settled: (messages) => backlog.settled(messages),
        retried: (retries) => backlog.confirmed(retries.map(({ message }) => message)),
        buried: (burials) => backlog.confirmed(burials.map(({ message }) => message)),
      },
      onLost: (reason, error) => {
        if (reason !== 'fenced') throw error
        this.#isFenced = true
      },
      nowMs: () => performance.now(),
    })
  }
}

/** Inserts one message with the text as its payload. @returns its seq */
export async function insert(client: pg.Client | pg.Pool, payload: string, key: string | null = null): Promise<number> {
  const { rows } = await client.query(
    `insert into malote.messages (topic, type, ordering_key, payload) values ('t', 'x', $2, $1) returning seq`,
    [payload, key],
  )
  return Number(rows[0].seq)
}
