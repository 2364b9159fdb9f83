/** A set of small numbers (seqs, or transactions) as bits: states are copied and compared by the million. */
export type Bits = number

export const bit = (n: number): Bits => 1 << n
export const has = (set: Bits, n: number): boolean => (set & bit(n)) !== 0
export const isEmpty = (set: Bits): boolean => set === 0

/** The members in rising order. */
export function members(set: Bits): number[] {
  const found: number[] = []
  for (let n = 0; set >> n !== 0; n++) if (has(set, n)) found.push(n)
  return found
}

/** Members greater than `low` and at most `high`. */
export const between = (set: Bits, low: number, high: number): Bits => set & ~(bit(low + 1) - 1) & (bit(high + 1) - 1)
export const highest = (set: Bits): number => 31 - Math.clz32(set)
export const lowest = (set: Bits): number => highest(set & -set)
export const noSeq = 15

/** One of the two writers: it runs transactions of one message each, one after the other. */
export interface Writer {
  readonly transaction: number
  /** `begun`: holds the table's RowExclusiveLock, and its key's lock, but has drawn no seq yet. */
  readonly phase: 'idle' | 'begun' | 'drawn'
  readonly seq: number
  /** 0 until assigned. Only the broken floor by xmin looks at it. */
  readonly xid: number
}

/** A transaction that held the table's lock when a relay looked, and the lowest position its seq can be above. */
export interface OpenWriter {
  readonly transaction: number
  readonly lo: number
}

/** What one relay process remembers. Everything here dies with the process. */
export interface RelayMemory {
  /** Believes that it owns the lane. */
  readonly owns: boolean
  readonly fence: number
  /** Its lease has run out: it starts no publish any more, but one already started may still reach the broker. */
  readonly isExpired: boolean
  readonly position: number
  readonly previousPosition: number
  readonly floor: number
  /** Lock barrier: the holders still to end before `candidate` becomes the floor; -1: no barrier under way. */
  readonly holders: Bits
  readonly candidate: number
  readonly openWriters: readonly OpenWriter[]
  /** An open writer has ended: read again from here before anything of the read under way is enqueued. `noSeq`: none has. */
  readonly lateFrom: number
  /** Rows of the read under way, as its snapshot saw them; -1: no read is under way. */
  readonly reading: Bits
  /** The read under way may raise the floor when it ends: every holder had ended before it began. */
  readonly raisesFloor: boolean
  /** Seqs not to be enqueued again. */
  readonly known: Bits
  /** Settled while a read was under way: still known until that read has ended. */
  readonly settledDuringRead: Bits
  readonly buffer: readonly number[]
  /** Lease checked, about to go out · at the broker, not settled · not accepted, no retry scheduled. */
  readonly checked: Bits
  readonly sent: Bits
  readonly failed: Bits
  /** Keyed messages in the table that wait for a retry: nothing after them goes out. */
  readonly waiting: Bits
  /** Lowest seq that was not buffered because its key waits; read again from there. */
  readonly skipped: number
  readonly rereadFrom: number
}

/** The database, the broker and the processes, at one instant. */
export interface State {
  readonly writers: readonly Writer[]
  readonly nextSeq: number
  readonly nextXid: number
  readonly latestCompletedXid: number
  /** Committed rows: all of them, those with the ordering key, those that wait for a retry. */
  readonly rows: Bits
  readonly keyed: Bits
  readonly waitingRows: Bits
  /** Rows whose transaction has not committed: only a message that was added outside of it is one. */
  readonly unbacked: Bits
  readonly owner: number
  readonly fence: number
  readonly relays: readonly RelayMemory[]
  readonly published: Bits
  /** Was in flight when something failed: may be published twice. */
  readonly excused: Bits
  readonly faultsLeft: number
}

export const nobody = -1

export const emptyMemory: RelayMemory = {
  owns: false,
  fence: 0,
  isExpired: false,
  position: 0,
  previousPosition: 0,
  floor: 0,
  holders: -1,
  candidate: 0,
  openWriters: [],
  lateFrom: noSeq,
  reading: -1,
  raisesFloor: false,
  known: 0,
  settledDuringRead: 0,
  buffer: [],
  checked: 0,
  sent: 0,
  failed: 0,
  waiting: 0,
  skipped: noSeq,
  rereadFrom: noSeq,
}

/** Two states with the same key behave the same from here on. Relays are interchangeable: their order does not count. */
export function stateKey(state: State): string {
  const { nextSeq, nextXid, latestCompletedXid, rows, keyed, waitingRows, unbacked } = state
  const { fence, published, excused, faultsLeft } = state
  const { fromCharCode } = String
  let key = fromCharCode(
    nextSeq,
    nextXid,
    latestCompletedXid,
    rows,
    keyed,
    waitingRows,
    unbacked,
    fence,
    published,
    excused,
    faultsLeft,
  )
  for (const { transaction, phase, seq, xid } of state.writers)
    key += fromCharCode(transaction, phaseCodes[phase], seq, xid)
  const relays = state.relays.map((relay, index) => memoryKey(relay, index === state.owner))
  if (relays.length > 1) relays.sort()
  for (const relay of relays) key += relay
  return key
}

const phaseCodes = { idle: 0, begun: 1, drawn: 2 } as const

function memoryKey(relay: RelayMemory, isOwner: boolean): string {
  const { fence, position, previousPosition, floor, holders, candidate, lateFrom, reading, known, checked } = relay
  const { settledDuringRead, sent, failed, waiting, skipped, rereadFrom, buffer, openWriters } = relay
  const flags = (relay.owns ? 1 : 0) + (relay.isExpired ? 2 : 0) + (relay.raisesFloor ? 4 : 0) + (isOwner ? 8 : 0)
  let key = String.fromCharCode(
    flags,
    holders + 1,
    reading + 1,
    known,
    settledDuringRead,
    checked,
    sent,
    failed,
    waiting,
    fence,
    position,
    previousPosition,
    floor,
    candidate,
    lateFrom,
    skipped,
    rereadFrom,
    buffer.length,
    openWriters.length,
  )
  for (const seq of buffer) key += String.fromCharCode(seq)
  for (const { transaction, lo } of openWriters) key += String.fromCharCode(transaction, lo)
  return key
}
