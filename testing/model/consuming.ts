import type { Model, Step } from './explore.ts'

/** Mistakes of consumers. Each must be caught. */
export type ConsumingMistake =
  | 'acknowledge-before-commit'
  | 'apply-without-inbox'
  | 'look-before-claiming'
  | 'inbox-outside-the-transaction'
  | 'acknowledge-a-failure'

export interface ConsumingOptions {
  /** Messages of one ordering key, sent in order. */
  readonly messages: number
  readonly processes: number
  /** Crashes, expired deliveries, failing handlers, lost answers to a commit, copies by a relay that died. */
  readonly faults: number
  readonly mistake?: ConsumingMistake
}

/** What a process does with the message it was handed. */
interface Work {
  /** `claimed`: its transaction holds the inbox row, which no other sees before the commit. `over`: it may acknowledge. */
  readonly phase: 'received' | 'claimed' | 'over'
  readonly message: number
}

interface State {
  /** The broker's stream: numbers of messages, a message once for each copy. Its head is out with `holder`. */
  readonly stream: readonly number[]
  readonly holder: number | null
  readonly processes: readonly (Work | null)[]
  /** Committed: the inbox, and how often each message was applied. */
  readonly inbox: readonly boolean[]
  readonly applied: readonly number[]
  readonly faultsLeft: number
}

/**
 * One stream of a broker that delivers at least once, several processes of one consumer, its database. A message is claimed in
 * the inbox and applied in one transaction, and acknowledged after its commit. A paused process is one whose steps do not come: the
 * broker hands its message to another while it still works.
 */
export function createConsuming(options: ConsumingOptions): Model<State> {
  const numbers = Array.from({ length: options.messages }, (_, number) => number)
  return {
    initial: {
      stream: numbers,
      holder: null,
      processes: Array.from({ length: options.processes }, () => null),
      inbox: numbers.map(() => false),
      applied: numbers.map(() => 0),
      faultsLeft: options.faults,
    },
    key: (state) => JSON.stringify(state),
    isDone: ({ stream, processes }) => stream.length === 0 && processes.every((work) => work === null),
    steps: (state) => [
      ...state.processes.flatMap((work, index) => stepsOf(state, index, work, options)),
      ...copySteps(state, numbers),
    ],
  }
}

type Change = Partial<Omit<State, 'processes'>>
type MakeStep = (what: string, work: Work | null, change?: Change, violation?: string) => Step<State>

function stepsOf(state: State, index: number, work: Work | null, options: ConsumingOptions): Step<State>[] {
  const step: MakeStep = (what, next, change = {}, violation) => ({
    name: `process ${String(index + 1)} ${what}`,
    next: { ...state, ...change, processes: state.processes.with(index, next) },
    isProgress: true,
    violation,
  })
  const [head] = state.stream
  if (work === null) {
    if (head === undefined || state.holder !== null) return []
    return [step(`receives ${String(head)}`, { phase: 'received', message: head }, { holder: index })]
  }
  const steps = [
    ...(work.phase === 'received' ? claimSteps(state, work, options, step) : []),
    ...(work.phase === 'claimed' ? [commitStep(state, work, step)] : []),
  ]
  const mayAcknowledge =
    work.phase === 'over' || (options.mistake === 'acknowledge-before-commit' && work.phase === 'claimed')
  if (mayAcknowledge) steps.push(acknowledgeStep(state, index, work, step))
  if (state.faultsLeft > 0) steps.push(...faultSteps(state, index, work, options, step))
  return steps
}

/** The inbox's unique index: who inserts the same row waits for the end of the other's transaction. */
function claimSteps(state: State, work: Work, { mistake }: ConsumingOptions, step: MakeStep): Step<State>[] {
  const { message } = work
  const isApplied = state.inbox[message] === true && mistake !== 'apply-without-inbox'
  if (isApplied) return [step(`finds ${String(message)} in the inbox`, { phase: 'over', message })]
  const isUnguarded = mistake === 'apply-without-inbox' || mistake === 'look-before-claiming'
  const isTaken = state.processes.some((other) => other?.phase === 'claimed' && other.message === message)
  if (isTaken && !isUnguarded) return []
  const inbox = mistake === 'inbox-outside-the-transaction' ? state.inbox.with(message, true) : state.inbox
  return [step(`claims ${String(message)} and applies it`, { phase: 'claimed', message }, { inbox })]
}

function commitStep(state: State, { message }: Work, step: MakeStep): Step<State> {
  const change = committed(state, message)
  return step(`commits ${String(message)}`, { phase: 'over', message }, change, brokenByApplying(state, message))
}

const committed = (state: State, message: number): Change => ({
  inbox: state.inbox.with(message, true),
  applied: state.applied.with(message, (state.applied[message] ?? 0) + 1),
})

function brokenByApplying({ applied }: State, message: number): string | undefined {
  if ((applied[message] ?? 0) > 0) return 'a message applied twice'
  const isEarlierOpen = applied.some((times, earlier) => earlier < message && times === 0)
  return isEarlierOpen ? 'a message applied before an earlier one of its key' : undefined
}

/** The broker takes no acknowledgement of a delivery that it has given to another since. */
function acknowledgeStep(state: State, index: number, { message, phase }: Work, step: MakeStep): Step<State> {
  const isOurs = state.holder === index
  const change = isOurs ? { holder: null, stream: state.stream.slice(1) } : {}
  const isLost = isOurs && phase !== 'over' && state.applied[message] === 0
  const isMissing = isOurs && phase === 'over' && state.applied[message] === 0
  const violation = isLost || isMissing ? 'a message acknowledged that was not applied' : undefined
  return step(`acknowledges ${String(message)}`, phase === 'over' ? null : { phase, message }, change, violation)
}

function faultSteps(state: State, index: number, work: Work, options: ConsumingOptions, step: MakeStep): Step<State>[] {
  const { message, phase } = work
  const faultsLeft = state.faultsLeft - 1
  const holder = state.holder === index ? null : state.holder
  const faults = [step('crashes', null, { holder, faultsLeft })]
  if (holder !== state.holder) faults.push(step('is too slow: its delivery expires', work, { holder, faultsLeft }))
  if (phase === 'claimed') {
    const isTaken = options.mistake === 'acknowledge-a-failure' && state.holder === index
    const stream = isTaken ? state.stream.slice(1) : state.stream
    const lost = isTaken ? 'a message acknowledged that was not applied' : undefined
    faults.push(
      step(`rolls ${String(message)} back: the handler failed`, null, { holder, stream, faultsLeft }, lost),
      step(
        `commits ${String(message)} and never hears of it`,
        null,
        { ...committed(state, message), holder, faultsLeft },
        brokenByApplying(state, message),
      ),
    )
  }
  return faults.map((fault) => ({ ...fault, isProgress: false }))
}

/** A relay that died before it heard of its publish: the broker has the message once more. */
function copySteps(state: State, numbers: readonly number[]): Step<State>[] {
  if (state.faultsLeft === 0) return []
  return numbers.map((message) => ({
    name: `a relay publishes ${String(message)} again`,
    next: { ...state, stream: [...state.stream, message], faultsLeft: state.faultsLeft - 1 },
    isProgress: false,
  }))
}
