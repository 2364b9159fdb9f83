import type { Committed, Fault, History, Publication } from '../history/history.ts'
import type { Model } from './explore.ts'
import { createProtocol } from './protocol.ts'
import { replay, type Replay, type Seen } from './replay.ts'
import type { State } from './state.ts'

/** What is known of one ordering key between two instants at which nothing of it was under way. */
export interface LaneTrace {
  readonly key: string
  /** The model's writer commits so many messages, numbered from 1. */
  readonly messages: number
  /** Processes; the model numbers them from 1. */
  readonly relays: readonly string[]
  readonly seen: readonly Seen[]
}

export interface LaneTraces {
  readonly traces: readonly LaneTrace[]
  /** Why → how many are left out. */
  readonly leftOut: Readonly<Record<string, number>>
}

/** Two clocks tell of one instant: the database's for lanes and commits, a process's for the rest. */
const clockToleranceMs = 100
/** From a fault to the last that a relay does because of it: a lease, and the time a statement may take. */
const aftermathMs = 10_000
/** A publish that took longer may have been given up before its answer came. */
const givenUpMs = 1_500
/** What no answer came to is over by then. */
const unansweredMs = 5_000
/** What a process does next comes after what it heard, not at the same instant. */
const laterMs = 0.001
const most = { messages: 8, publications: 16 }

/** The faults that undo what the model takes for certain: a settled row comes back, a lane's owner is forgotten. */
const outside: ReadonlySet<string> = new Set(['restart-postgres-immediate', 'truncate'])
/** The model's leases have one clock. Where the database's jumps, a lane passes on while its owner's own clock lets it read and publish. */
const outsideWhereTheLanePasses = 'move-database-clock'

/** Cuts a history into traces of the lane's model. */
export function laneTraces(history: History): LaneTraces {
  const published = Map.groupBy(history.publications, ({ id }) => id)
  const byKey = Map.groupBy(
    history.committed.filter(({ key }) => key !== null),
    ({ key }) => key ?? '',
  )
  const traces: LaneTrace[] = []
  const leftOut: Record<string, number> = {}
  for (const messages of byKey.values()) {
    for (const stretch of stretches(messages, published)) {
      const why = reasonToLeaveOut(stretch, history)
      if (why === null) traces.push(traceOf(stretch, history))
      else leftOut[why] = (leftOut[why] ?? 0) + 1
    }
  }
  return { traces, leftOut }
}

/** Whether the trace is a history of the lane's model. */
export function replayLane({ messages, relays, seen }: LaneTrace, maxStates = 200_000): Replay {
  const model = createProtocol({
    writers: [Array.from({ length: messages }, () => true)],
    relays: relays.length,
    floor: 'open-writers',
    faults: 1,
  })
  return replay(withFaultsToSpare(model), seen, { isHidden, maxStates })
}

export interface Replayed {
  readonly accepted: number
  /** Key and what found no place, of each trace that is no history of the model. */
  readonly refused: readonly string[]
  /** Traces with too many histories to try. */
  readonly undecided: number
  readonly leftOut: LaneTraces['leftOut']
}

/** Asks of every ordering key of a run whether what happened to it is a history of the lane's model. */
export function replayHistory(history: History): Replayed {
  const { traces, leftOut } = laneTraces(history)
  const replays = traces.map((trace) => ({ trace, ...replayLane(trace) }))
  return {
    accepted: replays.filter(({ verdict }) => verdict === 'accepted').length,
    refused: replays
      .filter(({ verdict }) => verdict === 'refused')
      .map(({ trace, left }) => `${trace.key} of ${trace.relays.join(', ')}: no place for ${JSON.stringify(left)}`),
    undecided: replays.filter(({ verdict }) => verdict === 'undecided').length,
    leftOut,
  }
}

/** What was seen says which faults there were; the model's number of them is no limit. */
const withFaultsToSpare = (model: Model<State>): Model<State> => ({
  ...model,
  steps: (state) =>
    model.steps(state).map((step) => ({ ...step, next: { ...step.next, faultsLeft: state.faultsLeft } })),
})

/** What happens inside a process or a transaction, and leaves no mark outside. */
const hidden =
  /^(writer \d+ (begins|draws)|relay \d+ (reads|looks|takes in|finds|schedules a retry|keeps|is fenced off|rejoins))/
const isHidden = (step: string): boolean => hidden.test(step)

interface Sent {
  readonly message: Committed
  readonly publications: readonly Publication[]
}

interface Stretch {
  readonly messages: readonly Sent[]
  readonly startMs: number
  readonly endMs: number
}

/** The messages of a key, in parts: when one begins, all of the one before is settled. */
function stretches(
  committed: readonly Committed[],
  published: ReadonlyMap<string, readonly Publication[]>,
): readonly Stretch[] {
  const found: Stretch[] = []
  let open: Sent[] = []
  let endMs = -Infinity
  for (const message of committed.toSorted((a, b) => a.place - b.place)) {
    const beginMs = (message.begunAtMs ?? message.atMs) - clockToleranceMs
    if (open.length > 0 && endMs < beginMs) {
      found.push(stretchOf(open, endMs))
      open = []
      endMs = -Infinity
    }
    const publications = published.get(message.id) ?? []
    open.push({ message, publications })
    endMs = Math.max(endMs, publications.length === 0 ? Infinity : Math.max(...publications.map(overAtMs)))
  }
  if (open.length > 0) found.push(stretchOf(open, endMs))
  return found
}

const overAtMs = ({ startedAtMs, answer, answeredAtMs, settledAtMs }: Publication): number =>
  settledAtMs ??
  (answer === 'accepted' ? (answeredAtMs ?? 0) + aftermathMs : (answeredAtMs ?? startedAtMs + unansweredMs))

const stretchOf = (messages: readonly Sent[], endMs: number): Stretch => ({
  messages,
  startMs: (messages[0]?.message.atMs ?? 0) - clockToleranceMs,
  endMs,
})

function reasonToLeaveOut(stretch: Stretch, { faults, ownerships }: History): string | null {
  const { messages, startMs, endMs } = stretch
  const publications = messages.reduce((sum, sent) => sum + sent.publications.length, 0)
  if (messages.length > most.messages || publications > most.publications) return 'too long'
  const passes = (sinceMs: number): boolean =>
    ownerships.some(
      ({ lane, atMs }) =>
        lane === messages[0]?.message.lane && atMs >= sinceMs - clockToleranceMs && atMs <= endMs + clockToleranceMs,
    )
  const undone = faults.find(
    ({ kind, startedAtMs, endedAtMs }) =>
      (outside.has(kind) || (kind === outsideWhereTheLanePasses && passes(startedAtMs))) &&
      startedAtMs <= endMs &&
      startMs <= endedAtMs + aftermathMs,
  )
  return undone?.kind ?? null
}

function traceOf(stretch: Stretch, history: History): LaneTrace {
  const [first] = stretch.messages
  const lane = history.ownerships.filter((change) => change.lane === first?.message.lane)
  const before = lane.findLast(({ atMs }) => atMs < stretch.startMs)
  const during = lane.filter(({ atMs }) => atMs >= stretch.startMs && atMs <= stretch.endMs + clockToleranceMs)
  const named = [
    before?.to,
    ...during.map(({ to }) => to),
    ...stretch.messages.flatMap(({ publications }) => publications.map(({ relay }) => relay)),
  ]
  const relays = [...new Set(named.filter((name) => typeof name === 'string'))]
  const number = (relay: string): string => `relay ${String(relays.indexOf(relay) + 1)}`
  const owners: Seen[] = during.flatMap((change) => {
    const { to, by, atMs } = change
    const when = { from: atMs - clockToleranceMs, to: atMs + clockToleranceMs }
    if (to !== null) return [{ step: `${number(to)} acquires the lane`, ...when }]
    const owner = lane[lane.indexOf(change) - 1]?.to
    // Whoever takes a lane from another found it dead. Only a fault makes it so.
    return typeof owner === 'string' && owner === by
      ? [{ step: `${number(owner)} hands the lane over`, ...when, maybe: true as const }]
      : []
  })
  const seen = [
    ...(typeof before?.to === 'string'
      ? [{ step: `${number(before.to)} acquires the lane`, to: stretch.startMs }]
      : []),
    ...owners,
    ...stretch.messages.map(({ message, publications }, index) => ({
      step: `writer 1 commits seq ${String(index + 1)}`,
      from: message.atMs - clockToleranceMs,
      ...(publications.length > 0 ? { to: Math.min(...publications.map(({ startedAtMs }) => startedAtMs)) } : {}),
    })),
    ...publishingSeen(stretch, history.faults, number),
    ...relays.flatMap((relay) => faultsSeen(relay, number(relay), stretch, history)),
  ]
  const [key, startMs] = [first?.message.key ?? '', stretch.startMs]
  return { key, messages: stretch.messages.length, relays, seen: seen.map((one) => since(startMs, one)) }
}

/** Instants since the start of the trace: they can be read, and two runs compared. */
function since(startMs: number, { from, to, ...one }: Seen): Seen {
  return {
    ...one,
    ...(from === undefined ? {} : { from: thousandths(from - startMs) }),
    ...(to === undefined || to === Infinity ? {} : { to: thousandths(to - startMs) }),
  }
}

const thousandths = (ms: number): number => Math.round(ms * 1_000) / 1_000

function publishingSeen({ messages }: Stretch, faults: readonly Fault[], number: (relay: string) => string): Seen[] {
  const all = messages.flatMap(({ publications }, index) =>
    publications.map((publication) => ({ publication, seq: String(index + 1), place: index })),
  )
  return all.flatMap(({ publication, seq, place }) => {
    const { relay, startedAtMs, answer, answeredAtMs, settledAtMs } = publication
    const who = number(relay)
    const earlier = all.filter(
      (one) => one.place < place && one.publication.relay === relay && one.publication.startedAtMs === startedAtMs,
    )
    const maybe = { maybe: true as const }
    const isAccepted = answer === 'accepted'
    const isInDoubt = !isAccepted || (answeredAtMs ?? Infinity) - startedAtMs > givenUpMs
    // Behind a message of its key that was not accepted, an adapter sends nothing: it was handed out, and never taken.
    const isTaken = isAccepted || earlier.length === 0
    const from = startedAtMs - clockToleranceMs
    return [
      {
        step: `${who} checks its lease and takes ${seq}`,
        from: Math.min(from, pausedSince(relay, startedAtMs, faults)),
        to: earlier.length === 0 ? startedAtMs : (answeredAtMs ?? Infinity),
        ...(isTaken ? {} : maybe),
      },
      {
        step: `${who} publishes ${seq}`,
        from: startedAtMs,
        ...(isAccepted ? { to: answeredAtMs ?? Infinity } : maybe),
      },
      ...(isAccepted ? [] : [{ step: `${who} is refused ${seq} by the broker`, from: startedAtMs, ...maybe }]),
      ...(isInDoubt ? [{ step: `${who} loses the answer for ${seq}`, from: startedAtMs, ...maybe }] : []),
      ...(isAccepted
        ? [
            {
              step: `${who} settles ${seq}`,
              from: (answeredAtMs ?? startedAtMs) + laterMs,
              ...(settledAtMs === null ? maybe : { to: settledAtMs }),
            },
          ]
        : []),
    ]
  })
}

/** A process that stands still between its check and its send: when it stopped, or never. */
function pausedSince(relay: string, startedAtMs: number, faults: readonly Fault[]): number {
  const pause = faults.find(
    (fault) =>
      fault.kind === 'pause-relay' &&
      fault.relay === relay &&
      fault.startedAtMs <= startedAtMs &&
      startedAtMs <= fault.endedAtMs + 1_000,
  )
  return pause === undefined ? Infinity : pause.startedAtMs - clockToleranceMs
}

/** A relay may crash, or lose its lease, only when something was done to it, and as often as that. */
function faultsSeen(relay: string, who: string, { startMs, endMs }: Stretch, { faults, ownerships }: History): Seen[] {
  return faults
    .filter((fault) => fault.relay === relay || (fault.relay === null && fault.lanes.length > 0))
    .map(({ kind, startedAtMs, endedAtMs }) => {
      const isEnd = kind.startsWith('kill-relay') || kind === 'relay-leaves'
      const isLoss = kind.startsWith('session-lost')
      // Its lanes stay written down as its own until somebody can see to them, and that may be long after.
      const again = ownerships.find(({ to, atMs }) => to === relay && atMs > endedAtMs)?.atMs ?? Infinity
      const overMs = Math.max(endedAtMs + aftermathMs, isLoss ? again : 0)
      return { from: startedAtMs - (isLoss ? aftermathMs : clockToleranceMs), to: isEnd ? Infinity : overMs }
    })
    .filter(({ from, to }) => from <= endMs && startMs <= to)
    .map((when) => ({ step: `${who} crashes`, or: `${who} is paused past its lease`, ...when, maybe: true as const }))
}
