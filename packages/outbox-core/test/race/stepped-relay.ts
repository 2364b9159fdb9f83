import type pg from 'pg'
import { type Clock, systemClock } from '../../src/clock.ts'
import { membershipStatements } from '../../src/postgres/membership-statements.ts'
import { relayStatements } from '../../src/postgres/relay-statements.ts'
import { Blocks } from '../../src/relay/blocks.ts'
import { type Buffer as MessageBuffer, type BufferedMessage, createBuffer } from '../../src/relay/buffer.ts'
import { type Connections, openConnections } from '../../src/relay/connections.ts'
import { createFloor, type Floor } from '../../src/relay/floor.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { Membership } from '../../src/relay/membership.ts'
import { Reader } from '../../src/relay/reader.ts'
import { Schedule } from '../../src/relay/schedule.ts'
import { Settler } from '../../src/relay/settle.ts'
import { uuidv7 } from '../../src/uuid.ts'

/** The parts of a real relay without its loops: a test does one step after another, in the order it writes down. */
export interface SteppedRelay {
  readonly relayId: string
  readonly connections: Connections
  readonly floor: Floor
  readonly lanes: Lanes
  readonly blocks: Blocks
  readonly buffer: MessageBuffer
  readonly schedule: Schedule
  readonly reader: Reader
  readonly membership: Membership
  readonly settler: Settler
  readonly wasFenced: () => boolean
  /** One round of the read loop, then publishes and settles all of it. @returns the payloads, in order */
  step(): Promise<string[]>
  /** Takes everything that may be sent and settles it. @returns the payloads, in order */
  publishAll(): Promise<string[]>
  /** Called before each statement of the reading connection is sent (`before`) and after its answer came (`after`). */
  onRead(gate: (moment: 'before' | 'after', text: string) => Promise<void>): void
}

export interface SteppedRelayOptions {
  readonly oldAfter?: number
  readonly maxMessages?: number
  readonly leaseMs?: number
  readonly acquire?: number
  /** For the lease alone. @defaultValue the system's clock */
  readonly clock?: Clock
}

export async function createSteppedRelay(pool: pg.Pool, options: SteppedRelayOptions = {}): Promise<SteppedRelay> {
  const connections = await openConnections(pool, systemClock, () => {})
  const relayId = uuidv7()
  const statements = relayStatements('malote', false)
  const lanes = new Lanes()
  const blocks = new Blocks()
  const buffer = createBuffer()
  const schedule = new Schedule()
  const floor = createFloor(options.oldAfter ?? 20_000)
  let gate: (moment: 'before' | 'after', text: string) => Promise<void> = () => Promise.resolve()
  let isFenced = false
  const reader = new Reader({
    connection: {
      ...connections.reader,
      query: async (text, values) => {
        await gate('before', text)
        const result = await connections.reader.query(text, values)
        await gate('after', text)
        return result
      },
    },
    statements,
    barrierStatement: statements.barrier('malote.messages_seq_seq'),
    ownPids: [connections.reader.pid, connections.settler.pid, connections.control.pid],
    channel: 'malote',
    floor,
    lanes,
    blocks,
    buffer,
    schedule,
    maxMessages: options.maxMessages ?? 5_000,
    maxBytes: 16 * 1024 * 1024,
  })
  const membership = new Membership({
    connection: connections.control,
    statements: membershipStatements('malote'),
    relayId,
    name: 'stepped',
    channel: 'malote',
    leaseMs: options.leaseMs ?? 30_000,
    presence: false,
    lanes,
    clock: options.clock ?? systemClock,
  })
  const settler = new Settler({
    connection: connections.settler,
    statements,
    relayId,
    lanes,
    onSettled: (messages) => buffer.settled(messages),
    onRetried: (retries) => buffer.settled(retries.map(({ message }) => message)),
    onBuried: (burials) => buffer.settled(burials.map(({ message }) => message)),
    onFenced: () => {
      isFenced = true
    },
    onError: (error) => {
      throw error
    },
    nowMs: () => performance.now(),
  })
  await membership.join()
  for (const lane of await membership.acquire(options.acquire ?? 64)) floor.addLane(lane)
  await reader.loadBlocks()

  const payloadsOf = (messages: readonly BufferedMessage[]): string[] =>
    messages.map(({ message }) => String(message.body))
  const publishAll = async (): Promise<string[]> => {
    const batch = schedule.take(100_000)
    schedule.release(batch)
    settler.published(batch)
    await settler.idle()
    return payloadsOf(batch)
  }
  return {
    relayId,
    connections,
    floor,
    lanes,
    blocks,
    buffer,
    schedule,
    reader,
    membership,
    settler,
    wasFenced: () => isFenced,
    step: async () => {
      await reader.read()
      await reader.barrier()
      return publishAll()
    },
    publishAll,
    onRead: (next) => {
      gate = next
    },
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
