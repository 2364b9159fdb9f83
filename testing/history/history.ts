/** What really happened in a run, gathered from sources that know nothing of the library. All instants are one machine's wall clock, in ms. */
export interface History {
  /** From the writers' own ledger, written in the same transactions as the messages. */
  readonly committed: readonly Committed[]
  /** From a log the publisher's wrapper appends to, in the order of its lines. */
  readonly publications: readonly Publication[]
  /** What consumers were handed, in the order they were handed it. */
  readonly arrivals: readonly Arrival[]
  readonly effects: readonly Effect[]
  /** Every consumer that must apply every message. */
  readonly consumers: readonly string[]
  readonly deadLetters: readonly DeadLetter[]
  /** Ids of messages that consumers say they put where their dead letters go. */
  readonly refusals: readonly string[]
  /** From a trigger on the lanes: every change of owner, in commit order. */
  readonly ownerships: readonly OwnershipChange[]
  readonly cutOffs: readonly CutOffClaim[]
  readonly faults: readonly Fault[]
  /** Messages that a relay's net found below its floor. */
  readonly missedByFloor: number
  /** What was still on its way when every process had stopped. */
  readonly remains: Remains
}

export interface Remains {
  /** Ids of the messages in the outbox. */
  readonly outbox: readonly string[]
  /** How many messages the broker holds that no consumer has acknowledged. Repeats count. */
  readonly broker: number
  /** How many dead letters of consumers there are. Repeats count. */
  readonly letters: number
}

export interface Committed {
  readonly id: string
  readonly key: string | null
  /** Place in its key, counted by the writer under the key's own lock; 0 without a key. */
  readonly place: number
  readonly lane: number
  readonly atMs: number
  /** When the writer had heard that its transaction was open, by the machine's monotonic clock; null: nobody noted it. */
  readonly begunAtMs: number | null
  /** Made to fail for ever: must become a dead letter. */
  readonly isDoomed: boolean
  /** No consumer can handle it: must become a dead letter of the consumer. */
  readonly isRefused: boolean
}

/** One message handed to a broker once by one relay process. */
export interface Publication {
  readonly id: string
  readonly relay: string
  readonly startedAtMs: number
  /** What its broker answered; a process that died in between never heard. */
  readonly answer: 'accepted' | 'refused' | 'none'
  /** When it heard that; null: never. */
  readonly answeredAtMs: number | null
  /** When that relay heard that the row was deleted; null: never. */
  readonly settledAtMs: number | null
}

export interface Arrival {
  readonly id: string
  readonly atMs: number
}

export interface Effect {
  readonly id: string
  readonly consumer: string
}

export interface DeadLetter {
  readonly id: string
  readonly reason: string
}

/** What an operator was told who asked for everything from before an instant. */
export interface CutOffClaim {
  /** Before it was asked for. */
  readonly askedAtMs: number
  /** After it had answered. */
  readonly answeredAtMs: number
  /** It says that all is at the broker but what it names. Else it claims nothing. */
  readonly isComplete: boolean
  /** How many messages it names as dead. */
  readonly dead: number
  /** How many it names as held behind a dead one or by hand, or of a paused topic. @defaultValue 0 */
  readonly stopped?: number
}

export interface OwnershipChange {
  readonly lane: number
  /** Name of the relay process; null: nobody. */
  readonly from: string | null
  readonly to: string | null
  /** The process whose statement did it: the owner itself, or one that found the owner dead. */
  readonly by: string
  readonly fence: number
  readonly atMs: number
}

export interface Fault {
  readonly kind: string
  /** The process it was done to; null: to all of them (a server's restart, say). */
  readonly relay: string | null
  readonly startedAtMs: number
  readonly endedAtMs: number
  /** From when on recovery can be expected: the start, or for a server that was down, when it was up again. */
  readonly healsFromMs: number
  /** Lanes that stood still because of it. */
  readonly lanes: readonly number[]
}
