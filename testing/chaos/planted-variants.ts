import type { Rule } from '../history/violation.ts'
import type { Variant } from './roles/role.ts'

/** A rule of the protocol taken out of the running system by a wrapper, and what the checker must say of it. */
export interface PlantedVariant {
  readonly variant: Variant
  /** Sets of rules: of each at least one must be found broken. */
  readonly seenAs: readonly (readonly Rule[])[]
}

/** One that short runs on the log show. */
export interface PlantedInRelays extends PlantedVariant {
  /** What it is, and how it is seen. */
  readonly name: string
  /** The faults that show it, comma separated. */
  readonly faults: string
  /** What else the run is told. */
  readonly flags?: readonly string[]
}

/** A zombie: a relay that is paused for longer than its lease. */
export const zombie = { faults: 'pause-relay', flags: ['--lease', '1000', '--writers', '1'] } as const

export const plantedInRelays: readonly PlantedInRelays[] = [
  {
    name: 'settling before the broker has acknowledged is seen as loss',
    variant: 'acknowledge-before-broker',
    faults: 'kill-relay',
    seenAs: [['lost']],
  },
  {
    name: 'a message added beside its transaction is seen as one of a transaction that did not commit',
    variant: 'add-outside-the-transaction',
    faults: 'kill-writer-at-failpoint',
    seenAs: [['not-committed']],
  },
  {
    name: 'a published row that stays is seen as a repeat without a fault',
    variant: 'published-rows-stay',
    faults: 'relay-leaves',
    seenAs: [['duplicate-without-fault']],
  },
  {
    name: 'a consumer that acknowledges before its commit is seen as a missing effect, or as loss when it had not noted the arrival',
    variant: 'acknowledge-before-commit',
    faults: 'kill-consumer',
    seenAs: [['effect-missing', 'lost']],
  },
  {
    name: 'a consumer that keeps no proof of what it applied is seen as a double effect',
    variant: 'apply-without-inbox',
    faults: 'kill-relay',
    seenAs: [['effect-twice']],
  },
  {
    name: 'sending behind a failed message of the same key is seen as disorder, at the broker and behind it',
    variant: 'send-behind-a-failure',
    faults: 'kill-writer-at-failpoint',
    flags: ['--keys', '3'],
    seenAs: [['out-of-order'], ['published-out-of-order']],
  },
  {
    name: 'a floor that does not ask who holds the table is seen as loss or disorder',
    variant: 'floor-without-locks',
    faults: 'kill-writer-at-failpoint',
    seenAs: [['lost', 'out-of-order']],
  },
  {
    name: 'a cut-off that forgets who had begun is seen as too early',
    variant: 'cut-off-forgets-writers',
    faults: 'relay-joins',
    seenAs: [['cut-off-too-early']],
  },
  {
    name: 'charging messages with a destination that is away or full is seen by good messages among the dead letters',
    variant: 'blame-messages',
    faults: 'destination-away,destination-throttled',
    seenAs: [['unexpected-dead-letter']],
  },
  {
    name: 'a relay that takes lanes from a living one is seen as their second owner',
    variant: 'take-owned-lanes',
    faults: 'relay-joins',
    seenAs: [['two-owners']],
  },
  {
    name: 'a zombie that writes down failures without a fence is seen by good messages among the dead letters',
    variant: 'retry-without-fence',
    ...zombie,
    seenAs: [['unexpected-dead-letter']],
  },
]

/** Seen by runs on a broker, because the log has no place for consumers' dead letters. */
export const plantedInConsumers: PlantedVariant = {
  variant: 'outages-cost-attempts',
  seenAs: [['unexpected-dead-letter']],
}
