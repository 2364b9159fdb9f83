import type { Model, Step } from './explore.ts'

/** Mistakes beside operators, breakers and a cut-off. Each must be caught. */
export type SteeringMistake =
  | 'replay-keeps-what-waits'
  | 'rejected-goes-again-although-closed'
  | 'resume-without-going-back'
  | 'read-under-a-pause-counts'
  | 'burial-without-hold'
  | 'bound-before-the-writers-end'
  | 'cut-off-looks-at-ready-rows-only'

export interface SteeringOptions {
  /** Messages of one ordering key, each in a transaction of its own. */
  readonly messages: number
  readonly afterDeadLetter: 'hold' | 'skip'
  /** Outages, failures, deaths of messages, hand-overs, and what an operator does without need: pause, hold. */
  readonly faults: number
  readonly mistake?: SteeringMistake
}

/** `open`: drawn and not committed. `waiting`: failed or replayed, and due. `gone`: at the broker, and deleted. */
type Row = 'absent' | 'open' | 'ready' | 'waiting' | 'dead' | 'gone'

/** What the owner of the lane remembers of the key. Dies with a hand-over. */
interface Memory {
  readonly buffer: readonly number[]
  readonly inFlight: number | null
  /** Ready rows as the read under way saw them; null: none is. */
  readonly reading: readonly number[] | null
  /** The key was closed at some time during the read under way. */
  readonly wasClosed: boolean
  /** The lowest seq that is not read yet; below it, what was passed by while the key was closed. */
  readonly from: number
  readonly passedBy: number
  /** As last looked up: the lowest message that waits, whether the key is held, whether the topic is paused. */
  readonly waiting: number | null
  readonly isHeld: boolean
  readonly isPaused: boolean
}

interface CutOff {
  /** Messages from before the instant: committed, or of a transaction that had begun. */
  readonly before: number
  readonly waitsForWriter: boolean
  /** Highest seq to wait for; null until it is known. */
  readonly bound: number | null
}

interface State {
  readonly rows: readonly Row[]
  readonly writer: 'idle' | 'begun' | 'drawn'
  readonly isHeld: boolean
  readonly isPaused: boolean
  readonly relay: Memory
  /** Was replayed, and no relay has looked since: nobody can put it before what is under way. */
  readonly unseen: readonly number[]
  /** Null: nobody has asked yet, or it is answered. */
  readonly cutOff: CutOff | null
  readonly wasAsked: boolean
  readonly faultsLeft: number
}

const nothing = Number.MAX_SAFE_INTEGER

const fresh: Memory = {
  buffer: [],
  inFlight: null,
  reading: null,
  wasClosed: false,
  from: 0,
  passedBy: nothing,
  waiting: null,
  isHeld: false,
  isPaused: false,
}

/**
 * One ordering key of one lane, its owner, an operator, and somebody who asks for a cut-off. Three things close the way to the key:
 * a message of it waits, an operator or a dead letter holds it, its topic is paused or out of reach. What is in memory behind a closed
 * way is forgotten; what is in flight is forgotten when it comes back; opening goes back to the lowest that was passed by.
 */
export function createSteering(options: SteeringOptions): Model<State> {
  return {
    initial: {
      rows: Array.from({ length: options.messages }, () => 'absent'),
      writer: 'idle',
      isHeld: false,
      isPaused: false,
      relay: fresh,
      unseen: [],
      cutOff: null,
      wasAsked: false,
      faultsLeft: options.faults,
    },
    key: (state) => JSON.stringify(state),
    isDone: ({ rows, cutOff }) => rows.every((row) => row === 'gone') && cutOff === null,
    steps: (state) => [
      ...writerSteps(state),
      ...lookSteps(state, options),
      ...readSteps(state, options),
      ...publishSteps(state, options),
      ...operatorSteps(state),
      ...cutOffSteps(state, options),
    ],
  }
}

const step = (name: string, next: State, violation?: string): Step<State> => ({
  name,
  next,
  isProgress: true,
  violation,
})
const fault = (name: string, state: State, violation?: string): Step<State> => ({
  name,
  next: { ...state, faultsLeft: state.faultsLeft - 1 },
  isProgress: false,
  violation,
})
const remembering = (state: State, change: Partial<Memory>): State => ({
  ...state,
  relay: { ...state.relay, ...change },
})
const withRow = (state: State, seq: number, row: Row): State => ({ ...state, rows: state.rows.with(seq, row) })
const indexesOf = ({ rows }: State, ...wanted: readonly Row[]): number[] =>
  rows.flatMap((row, seq) => (wanted.includes(row) ? [seq] : []))

/** The key's lock lets one transaction of it run at a time. */
function writerSteps(state: State): Step<State>[] {
  const seq = state.rows.findIndex((row) => row === 'absent' || row === 'open')
  if (seq === -1) return []
  const name = String(seq)
  if (state.writer === 'idle') return [step(`${name} begins`, { ...state, writer: 'begun' })]
  if (state.writer === 'begun') return [step(`${name} is drawn`, { ...withRow(state, seq, 'open'), writer: 'drawn' })]
  return [step(`${name} commits`, { ...withRow(state, seq, 'ready'), writer: 'idle' })]
}

const isClosed = ({ waiting, isHeld, isPaused }: Memory): boolean => waiting !== null || isHeld || isPaused

/** What the table says of the key. A new owner asks before it reads. */
function lookedUp(state: State): Pick<Memory, 'waiting' | 'isHeld' | 'isPaused'> {
  const [waiting = null] = indexesOf(state, 'waiting')
  return { waiting, isHeld: state.isHeld, isPaused: state.isPaused }
}

/** Learns what closes the way, and what does so no longer. */
function lookSteps(state: State, { mistake }: SteeringOptions): Step<State>[] {
  const { relay } = state
  const { waiting, isHeld, isPaused } = lookedUp(state)
  if (waiting === relay.waiting && isHeld === relay.isHeld && isPaused === relay.isPaused && state.unseen.length === 0)
    return []
  const looked = { ...relay, waiting, isHeld, isPaused, wasClosed: relay.wasClosed || isClosed(relay) }
  const isKept = mistake === 'replay-keeps-what-waits' && waiting !== null && !isHeld && !isPaused
  const next = isKept ? looked : closed(looked)
  return [step('the relay looks', { ...state, unseen: [], relay: opened(next, mistake) })]
}

/** Forgets what it has of a key that is closed. The message that waits itself goes on, unless the key is held or paused. */
function closed(memory: Memory): Memory {
  if (!isClosed(memory)) return memory
  const mayStay = (seq: number): boolean => seq === memory.waiting && !memory.isHeld && !memory.isPaused
  const dropped = memory.buffer.filter((seq) => !mayStay(seq))
  return {
    ...memory,
    wasClosed: true,
    buffer: memory.buffer.filter(mayStay),
    passedBy: Math.min(memory.passedBy, memory.from, ...dropped),
  }
}

function opened(memory: Memory, mistake?: SteeringMistake): Memory {
  if (isClosed(memory) || memory.passedBy === nothing) return memory
  const from = mistake === 'resume-without-going-back' ? memory.from : Math.min(memory.from, memory.passedBy)
  return { ...memory, from, passedBy: nothing }
}

/** A read of ready rows, in two steps; and of what waits and is due, which blocks what is behind it. */
function readSteps(state: State, { mistake }: SteeringOptions): Step<State>[] {
  const { relay } = state
  const isKnown = (seq: number): boolean => relay.buffer.includes(seq) || relay.inFlight === seq
  const steps: Step<State>[] = []
  if (relay.reading === null && !isClosed(relay)) {
    const seen = indexesOf(state, 'ready').filter((seq) => seq >= relay.from && !isKnown(seq))
    if (seen.length > 0)
      steps.push(step(`the relay reads ${seen.join()}`, remembering(state, { reading: seen, wasClosed: false })))
  }
  if (relay.reading !== null) {
    const isUsed =
      (!relay.wasClosed && !isClosed(relay)) || (mistake === 'read-under-a-pause-counts' && !isClosed(relay))
    const taken = isUsed ? relay.reading.filter((seq) => !isKnown(seq)) : []
    const buffer = [...relay.buffer, ...taken].toSorted((a, b) => a - b)
    const from = isUsed ? Math.max(relay.from, ...relay.reading.map((seq) => seq + 1)) : relay.from
    const memory = remembering(state, { buffer, from, reading: null, wasClosed: false })
    steps.push(step(`the relay takes in ${taken.join() || 'nothing'}`, memory))
  }
  const [due] = indexesOf(state, 'waiting')
  if (due !== undefined && !isKnown(due) && !relay.isHeld && !relay.isPaused) {
    const unseen = state.unseen.filter((seq) => seq !== due)
    const found = closed({ ...relay, waiting: due, buffer: [...relay.buffer, due] })
    steps.push(step(`the relay finds ${String(due)} due`, { ...state, unseen, relay: found }))
  }
  return steps
}

function publishSteps(state: State, options: SteeringOptions): Step<State>[] {
  const { relay } = state
  const { inFlight, buffer } = relay
  if (inFlight === null) {
    const [seq] = buffer
    if (seq === undefined) return []
    const next = remembering(state, { inFlight: seq, buffer: buffer.filter((one) => one !== seq) })
    return [step(`the relay sends ${String(seq)}`, next, brokenBySending(state, seq, options))]
  }
  const name = String(inFlight)
  const landed = remembering(state, { inFlight: null })
  const steps = [step(`${name} is accepted`, withRow(landed, inFlight, 'gone'))]
  if (state.faultsLeft === 0) return steps
  const handedOver: State = { ...state, relay: closed({ ...fresh, ...lookedUp(state) }), unseen: [] }
  return [
    ...steps,
    fault(`${name} is rejected by an outage`, returned(landed, inFlight, options)),
    fault(`${name} fails, and waits`, blocked(withRow(landed, inFlight, 'waiting'), inFlight)),
    fault(`${name} is dead`, buried(landed, inFlight, options)),
    fault('the lane is handed over', handedOver),
  ]
}

/** Its old place, unless the way was closed while it was in flight. */
function returned(state: State, seq: number, { mistake }: SteeringOptions): State {
  const { relay } = state
  const buffer = [...relay.buffer, seq].toSorted((a, b) => a - b)
  if (mistake === 'rejected-goes-again-although-closed') return remembering(state, { buffer })
  return { ...state, relay: closed({ ...relay, buffer }) }
}

/** Nothing behind it goes until a look shows that it waits no longer. */
function blocked(state: State, seq: number): State {
  const waiting = state.relay.waiting === null ? seq : Math.min(state.relay.waiting, seq)
  return { ...state, relay: closed({ ...state.relay, waiting }) }
}

/** The letter and the key's hold are one transaction. */
function buried(state: State, seq: number, { afterDeadLetter, mistake }: SteeringOptions): State {
  const dead = blocked(withRow(state, seq, 'dead'), seq)
  if (afterDeadLetter === 'skip' || mistake === 'burial-without-hold') return dead
  return { ...dead, isHeld: true, relay: closed({ ...dead.relay, isHeld: true }) }
}

/** Order of first publications, as far as anybody could have known: a replay counts once a relay has looked. */
function brokenBySending(state: State, seq: number, { afterDeadLetter }: SteeringOptions): string | undefined {
  const { relay, unseen } = state
  const earlier = indexesOf(state, 'ready', 'waiting').filter((one) => one < seq && !unseen.includes(one))
  if (earlier.length > 0) return 'a message published before an earlier one of its key'
  if (relay.isHeld && state.isHeld) return 'a message published of a held key'
  if (relay.isPaused && state.isPaused) return 'a message published of a paused topic'
  const isBehindADeadOne = afterDeadLetter === 'hold' && indexesOf(state, 'dead').some((one) => one < seq)
  return isBehindADeadOne ? 'a message published behind a dead one that nobody has decided on' : undefined
}

function operatorSteps(state: State): Step<State>[] {
  const dead = indexesOf(state, 'dead')
  const steps: Step<State>[] = dead.map((seq) => {
    const replayed = { ...withRow(state, seq, 'waiting'), isHeld: state.isHeld && dead.length > 1 }
    return step(`an operator replays ${String(seq)}`, { ...replayed, unseen: [...state.unseen, seq] })
  })
  if (state.isPaused) steps.push(step('the topic goes on', { ...state, isPaused: false }))
  if (state.isHeld && dead.length === 0) steps.push(step('an operator releases the key', { ...state, isHeld: false }))
  if (state.faultsLeft === 0) return steps
  if (!state.isPaused) steps.push(fault('the topic is paused', { ...state, isPaused: true }))
  if (!state.isHeld) steps.push(fault('an operator holds the key', { ...state, isHeld: true }))
  return steps
}

function cutOffSteps(state: State, { mistake }: SteeringOptions): Step<State>[] {
  const { cutOff, rows, writer } = state
  const highest = rows.findLastIndex((row) => row !== 'absent')
  if (cutOff === null) {
    if (state.wasAsked) return []
    const isBegun = writer === 'begun' ? 1 : 0
    const asked: CutOff = {
      before: highest + isBegun,
      waitsForWriter: writer !== 'idle' && mistake !== 'bound-before-the-writers-end',
      bound: null,
    }
    return [{ ...step('a cut-off is asked for', { ...state, cutOff: asked, wasAsked: true }), isProgress: false }]
  }
  if (cutOff.bound === null) {
    const begun = rows.slice(0, cutOff.before + 1)
    if (cutOff.waitsForWriter && begun.some((row) => row === 'absent' || row === 'open')) return []
    return [step('the writers of before have ended', { ...state, cutOff: { ...cutOff, bound: highest } })]
  }
  const { bound, before } = cutOff
  const isNamed = state.isHeld || state.isPaused
  const open: readonly Row[] = mistake === 'cut-off-looks-at-ready-rows-only' ? ['ready'] : ['ready', 'waiting']
  if (!isNamed && rows.some((row, seq) => seq <= bound && open.includes(row))) return []
  const isFalse = rows.some((row, seq) => seq <= before && row !== 'gone' && row !== 'dead' && !isNamed)
  const violation = isFalse ? 'a cut-off that claims what is not so' : undefined
  return [step('the cut-off is complete', { ...state, cutOff: null }, violation)]
}
