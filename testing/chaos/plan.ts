import { consumerPoints, type Failpoint, relayPoints, writerPoints } from './failpoints.ts'
import { createRandom, type Random } from './random.ts'

/** What every run draws from that is not told otherwise. */
const drawnKinds = [
  'kill-relay',
  'kill-relay-at-failpoint',
  'pause-relay',
  'move-relay-clock',
  'relay-leaves',
  'relay-joins',
  'kill-writer-at-failpoint',
  'kill-consumer',
  'kill-consumer-at-failpoint',
  'terminate-backends',
  'cut-database-connections',
  'half-open-database-connections',
  'slow-database-connections',
  'black-hole',
  'cut-broker-connections',
  'half-open-broker-connections',
  'slow-broker-connections',
  'hung-destination',
  'large-bodies',
  'truncate',
  'disk-full',
  'restart-postgres-fast',
  'restart-postgres-immediate',
  'restart-broker',
  'destination-away',
  'destination-throttled',
] as const

/** What needs a set-up of its own, or judges in its own way. */
const namedKinds = [
  'handler-database-away',
  'dead-letters-away',
  'pause-topic',
  'hold-key',
  'replay-dead-letters',
  'exhaust-pool',
  'exhaust-connections',
  'broker-disk-full',
  'restart-pgbouncer',
  'partition-database',
  'partition-broker',
  'move-database-clock',
] as const

export type FaultKind = (typeof drawnKinds)[number] | (typeof namedKinds)[number]

/** Everything that can be done to a run. */
export const faultKinds: readonly FaultKind[] = [...drawnKinds, ...namedKinds]

/** Only where they are asked for by name. */
export const onlyByName: readonly FaultKind[] = namedKinds

/** What relays or consumers need is away for as long as the run is told. */
const outages: readonly FaultKind[] = [
  'destination-away',
  'destination-throttled',
  'handler-database-away',
  'dead-letters-away',
]

/** What consumers need goes away: in runs of their own, with the consumers' default attempts and pauses. */
export const consumerOutages: readonly FaultKind[] = ['handler-database-away', 'dead-letters-away']

/** What a soak gives runs of their own beside those of consumers' outages, grouped so that no fault hides another. */
export const soakedApart: readonly (readonly FaultKind[])[] = [
  ['pause-topic', 'hold-key', 'replay-dead-letters', 'exhaust-pool', 'exhaust-connections', 'kill-relay'],
  ['partition-database', 'partition-broker', 'broker-disk-full', 'restart-pgbouncer'],
  ['move-database-clock', 'kill-relay'],
]

export interface PlannedFault {
  readonly kind: FaultKind
  /** Since the start of the faults. */
  readonly atMs: number
  /** Which process of the kind, counted round those that live. */
  readonly target: number
  readonly point: Failpoint | null
  /** How long it lasts, where it lasts. */
  readonly forMs: number
  /** Sign and size of a jump of the clock. */
  readonly jumpMs: number
}

export interface PlanOptions {
  readonly seed: number
  readonly seconds: number
  readonly leaseMs: number
  /** Kinds to draw from; one may stand in it more than once. */
  readonly kinds: readonly FaultKind[]
  /** Mean time between two faults. */
  readonly everyMs: number
  /** How long what relays or consumers need is away; null: drawn. */
  readonly outageMs: number | null
}

/**
 * The whole plan, from the seed alone. Every kind comes once before any comes again, so that a long enough run has them all.
 * Faults overlap: nothing waits for the last one to be over.
 */
export function planFaults(options: PlanOptions): readonly PlannedFault[] {
  const random = createRandom(options.seed)
  const plan: PlannedFault[] = []
  let deck: FaultKind[] = []
  for (
    let atMs = 1_000;
    atMs < options.seconds * 1_000;
    atMs += random.between(options.everyMs / 2, options.everyMs * 1.5)
  ) {
    if (deck.length === 0) deck = random.shuffle(options.kinds)
    plan.push(plannedFault(deck.pop() as FaultKind, Math.round(atMs), random, options))
  }
  return plan
}

function plannedFault(kind: FaultKind, atMs: number, random: Random, options: PlanOptions): PlannedFault {
  const points: Partial<Record<FaultKind, readonly Failpoint[]>> = {
    'kill-relay-at-failpoint': relayPoints,
    'kill-writer-at-failpoint': writerPoints,
    'kill-consumer-at-failpoint': consumerPoints,
  }
  const choices = points[kind]
  const lasts = outages.includes(kind)
    ? () => options.outageMs ?? random.between(1_000, 4_000)
    : () => random.between(500, 2_000)
  return {
    kind,
    atMs,
    target: random.between(0, 1_000),
    point: choices === undefined ? null : random.pick(choices),
    forMs: kind === 'pause-relay' ? options.leaseMs * 2 : lasts(),
    jumpMs: random.pick([-3_600_000, 3_600_000]),
  }
}
