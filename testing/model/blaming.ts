import type { Model, Step } from './explore.ts'

/** Mistakes in finding who is at fault. Each must be caught. */
export type BlamingMistake = 'charge-an-outage' | 'blame-the-whole-batch' | 'proof-from-another-topic'

export interface BlamingOptions {
  /** The topic of each message. */
  readonly topics: readonly number[]
  /** The message that makes the publisher reject whatever batch it is in; -1: there is none. */
  readonly culprit: number
  /** Times that the broker, or the destination of topic 1, goes away. Fewer than `maxAttempts`. */
  readonly faults: number
  readonly mistake?: BlamingMistake
}

/** Attempts that a message pays before it is dead. */
const maxAttempts = 2
const batchSize = 2
/** Batches in flight. */
const concurrency = 2

/** What a message remembers of the last batch that was rejected with it inside. Passes are counted from the start. */
interface Accusation {
  readonly limit: number
  /** Others had passed, so the fault was inside; otherwise it is forgiven when the outage ends. */
  readonly isProven: boolean
  readonly passes: number
  readonly passesOfTopic: number
}

interface Message {
  readonly place: 'waiting' | 'in flight' | 'published' | 'dead'
  readonly attempts: number
  readonly accusation: Accusation | null
}

interface Flight {
  readonly batch: readonly number[]
  readonly passesAtStart: number
}

interface State {
  /** Numbers of those that wait. What is rejected comes last in its line. */
  readonly queue: readonly number[]
  readonly messages: readonly Message[]
  readonly flights: readonly Flight[]
  readonly passes: number
  readonly passesOf: readonly number[]
  /** Everything pauses but one probe at a time. */
  readonly isOut: boolean
  readonly away: 'nothing' | 'broker' | 'destination of topic 1'
  readonly faultsLeft: number
}

/**
 * A publisher that rejects batches as a whole and says nothing of why: the broker is away, one destination is, or one message in
 * the batch is at fault. A batch that passes meanwhile proves that the broker is there; a rejected one comes again in halves; a
 * message that is rejected alone pays only if another of its topic has passed.
 */
export function createBlaming(options: BlamingOptions): Model<State> {
  const isGood = (number: number): boolean => number !== options.culprit
  return {
    initial: {
      queue: options.topics.map((_, number) => number),
      messages: options.topics.map(() => ({ place: 'waiting', attempts: 0, accusation: null })),
      flights: [],
      passes: 0,
      passesOf: [0, 0],
      isOut: false,
      away: 'nothing',
      faultsLeft: options.faults,
    },
    key: (state) => JSON.stringify(state),
    // The culprit may be alone at the end: nobody can tell it from an outage then, and it is tried for ever.
    isDone: ({ messages }) => messages.every(({ place }, number) => place === 'published' || !isGood(number)),
    steps: (state) => [
      ...takeSteps(state, options),
      ...state.flights.map((flight) => outcomeStep(state, flight, options)),
      ...awaySteps(state),
    ],
  }
}

/** Those of whom nothing is known share batches, and so do the accused of one topic. No line goes before another. */
function takeSteps(state: State, { topics }: BlamingOptions): Step<State>[] {
  if (state.flights.length >= (state.isOut ? 1 : concurrency)) return []
  const lines = Map.groupBy(state.queue, (number) =>
    state.messages[number]?.accusation === null ? 'common' : topics[number],
  )
  return [...lines.values()].map((line) => {
    const batch: number[] = []
    let limit = batchSize
    for (const number of line) {
      limit = Math.min(limit, state.messages[number]?.accusation?.limit ?? batchSize)
      if (batch.length >= limit) break
      batch.push(number)
    }
    const next: State = {
      ...state,
      queue: state.queue.filter((number) => !batch.includes(number)),
      messages: changed(state, batch, () => ({ place: 'in flight' })),
      flights: [...state.flights, { batch, passesAtStart: state.passes }],
    }
    return { name: `sends ${batch.join(' and ')}`, next, isProgress: true }
  })
}

function outcomeStep(state: State, flight: Flight, options: BlamingOptions): Step<State> {
  const { batch } = flight
  const flights = state.flights.filter((other) => other !== flight)
  const isUnreachable = batch.some((number) => state.away === 'destination of topic 1' && options.topics[number] === 1)
  const isRejected = state.away === 'broker' || isUnreachable || batch.includes(options.culprit)
  if (isRejected) return rejectedStep({ ...state, flights }, flight, options)
  const topics = new Set(batch.map((number) => options.topics[number]))
  const published = changed(state, batch, () => ({ place: 'published', accusation: null }))
  const forgiven = published.map((message) =>
    message.accusation?.isProven === false ? { ...message, accusation: null } : message,
  )
  const next: State = {
    ...state,
    flights,
    messages: state.isOut ? forgiven : published,
    passes: state.passes + 1,
    passesOf: state.passesOf.map((passes, topic) => passes + (topics.has(topic) ? 1 : 0)),
    isOut: false,
  }
  return { name: `${batch.join(' and ')} accepted`, next, isProgress: true }
}

function rejectedStep(state: State, { batch, passesAtStart }: Flight, options: BlamingOptions): Step<State> {
  const { mistake } = options
  const before = batch.map((number) => state.messages[number]?.accusation ?? null)
  const since = Math.min(passesAtStart, ...before.map((accusation) => accusation?.passes ?? passesAtStart))
  const [first = 0] = batch
  const [accusation] = before
  const isProven = state.passes > since
  const topic = options.topics[first] ?? 0
  const hasTopicPassed = (state.passesOf[topic] ?? 0) > (accusation?.passesOfTopic ?? Number.POSITIVE_INFINITY)
  const isAlone = batch.length === 1 && accusation != null
  const isFoundOut = isProven && isAlone && (hasTopicPassed || mistake === 'proof-from-another-topic')
  const pays =
    isFoundOut || (mistake === 'charge-an-outage' && !isProven) || (mistake === 'blame-the-whole-batch' && isProven)
  const limit = Math.max(1, Math.ceil(batch.length / 2))
  const messages = changed(state, batch, (number, { attempts }) => {
    if (pays)
      return { attempts: attempts + 1, place: attempts + 1 < maxAttempts ? 'waiting' : 'dead', accusation: null }
    const passesOfTopic = state.passesOf[options.topics[number] ?? 0] ?? 0
    return { place: 'waiting', accusation: { limit, isProven, passes: state.passes, passesOfTopic } }
  })
  const queue = [...state.queue, ...batch.filter((number) => messages[number]?.place === 'waiting')]
  const isInnocentDead = messages.some(({ place }, number) => place === 'dead' && number !== options.culprit)
  return {
    name: `${batch.join(' and ')} rejected${pays ? ', and to blame' : ''}`,
    next: { ...state, queue, messages, isOut: state.isOut || !isProven },
    isProgress: true,
    violation: isInnocentDead ? 'a message died that nothing was wrong with' : undefined,
  }
}

function awaySteps(state: State): Step<State>[] {
  if (state.away !== 'nothing') {
    const back: State = { ...state, away: 'nothing' }
    return [{ name: `the ${state.away} is back`, next: back, isProgress: true }]
  }
  if (state.faultsLeft === 0) return []
  return (['broker', 'destination of topic 1'] as const).map((away) => ({
    name: `the ${away} is away`,
    next: { ...state, away, faultsLeft: state.faultsLeft - 1 },
    isProgress: false,
  }))
}

const changed = (
  { messages }: State,
  batch: readonly number[],
  change: (number: number, message: Message) => Partial<Message>,
): Message[] =>
  messages.map((message, number) => (batch.includes(number) ? { ...message, ...change(number, message) } : message))
