import type { Rule } from '../history/violation.ts'
import type { BlamingMistake } from '../model/blaming.ts'
import type { ConsumingMistake } from '../model/consuming.ts'
import type { Mistake } from '../model/protocol.ts'
import type { SteeringMistake } from '../model/steering.ts'
import type { Variant } from './roles/role.ts'

/** A promise, what judges it, and the faults that were planted to show that it would be noticed. */
export interface Guarantee {
  readonly promise: string
  /** Rules of the history checker. Each is broken by a made-up history in its own test. */
  readonly rules: readonly Rule[]
  /** Mistakes whose counterexample a model's test expects. */
  readonly mistakes: readonly (Mistake | ConsumingMistake | BlamingMistake | SteeringMistake)[]
  /** The same for SPIN, as its models name them. */
  readonly spin: readonly string[]
  /** Rules taken out of the running system. */
  readonly variants: readonly Variant[]
  /** Names of mutants of the code. */
  readonly mutants: readonly string[]
}

export const guaranteesWithFaults: readonly Guarantee[] = [
  {
    promise: 'A committed message is delivered, or is a dead letter because it was made to fail',
    rules: ['lost'],
    mistakes: ['settle-before-acknowledgement', 'wait-for-a-settled-message'],
    spin: ['SETTLE_BEFORE_ACKNOWLEDGEMENT', 'WAIT_FOR_A_SETTLED_MESSAGE'],
    variants: ['acknowledge-before-broker', 'floor-without-locks'],
    mutants: ['the floor ignores who still writes', 'a rewind stops one short'],
  },
  {
    promise: 'A message of a transaction that did not commit is never delivered',
    rules: ['not-committed'],
    mistakes: ['add-outside-the-transaction'],
    spin: ['ADD_OUTSIDE_THE_TRANSACTION'],
    variants: ['add-outside-the-transaction'],
    mutants: ['a message is added beside the transaction, not in it'],
  },
  {
    promise:
      "First deliveries of one ordering key come in the order of its commits, when writers lock the key's row first",
    rules: ['out-of-order'],
    mistakes: ['forward-only-position', 'late-read-skipped'],
    spin: ['FORWARD_ONLY_POSITION', 'FLOOR_WITHOUT_LOCKS'],
    variants: ['send-behind-a-failure', 'floor-without-locks'],
    mutants: ['a read during which an old writer ended is used', 'a line sends while its last request is in flight'],
  },
  {
    promise: 'A broker takes a message of a key only after it took every earlier one',
    rules: ['published-out-of-order'],
    mistakes: ['send-behind-an-unaccepted-message', 'new-owner-ignores-waiting-keys', 'replay-keeps-what-waits'],
    spin: ['SEND_BEHIND_A_FAILURE', 'NEW_OWNER_IGNORES_WAITING_KEYS'],
    variants: ['send-behind-a-failure'],
    mutants: ['a line sends while its last request is in flight'],
  },
  {
    promise: 'A message is published again only when it was in flight at a fault',
    rules: ['duplicate-without-fault'],
    mistakes: ['forget-settled-at-once', 'hand-over-with-unsettled-messages'],
    spin: ['FORGET_SETTLED_AT_ONCE', 'HAND_OVER_UNSETTLED'],
    variants: ['published-rows-stay'],
    mutants: ['a read brings what is in flight once more', 'a row that changed while its delete waited stays'],
  },
  {
    promise: 'A consumer that uses the inbox applies each message once',
    rules: ['effect-missing', 'effect-twice'],
    mistakes: ['acknowledge-before-commit', 'apply-without-inbox', 'inbox-outside-the-transaction'],
    spin: ['ACKNOWLEDGE_BEFORE_COMMIT', 'APPLY_WITHOUT_INBOX', 'INBOX_OUTSIDE_THE_TRANSACTION'],
    variants: ['acknowledge-before-commit', 'apply-without-inbox'],
    mutants: ['a handler whose error is swallowed can commit its inbox row', 'an offset is committed over a gap'],
  },
  {
    promise: 'Only messages that fail become dead letters',
    rules: ['unexpected-dead-letter', 'dead-letter-missing'],
    mistakes: ['charge-an-outage', 'blame-the-whole-batch', 'proof-from-another-topic'],
    spin: ['CHARGE_AN_OUTAGE', 'BLAME_THE_WHOLE_BATCH'],
    variants: ['blame-messages', 'retry-without-fence', 'outages-cost-attempts'],
    mutants: ['one outage among other errors makes all an outage'],
  },
  {
    promise: 'A lane has at most one unfenced owner, and no publish begins without owning the lane',
    rules: ['two-owners', 'published-without-the-lane'],
    mistakes: ['retry-without-fence', 'publish-after-the-lease'],
    spin: ['RETRY_WITHOUT_FENCE'],
    variants: ['retry-without-fence'],
    mutants: ['a fence is not compared', 'an expired lease can be renewed'],
  },
  {
    promise: 'A cut-off that is complete leaves nothing behind that had begun before it, but what it names',
    rules: ['cut-off-too-early'],
    mistakes: ['bound-before-the-writers-end', 'cut-off-looks-at-ready-rows-only'],
    spin: ['CUT_OFF_FORGETS_WRITERS', 'CUT_OFF_FORGETS_WAITING_ROWS'],
    variants: ['cut-off-forgets-writers'],
    mutants: ['a cut-off forgets who had begun', 'a cut-off forgets what is prepared'],
  },
]

/** The table of docs/guarantees.md that says which planted faults were noticed. */
export function plantedFaultTable(): string {
  const cell = (names: readonly string[]): string => names.join('; ')
  const code = (names: readonly string[]): string[] => names.map((name) => `\`${name}\``)
  const rows = guaranteesWithFaults.map(({ promise, rules, mistakes, spin, variants, mutants }) => {
    const cells = [code(rules), code(mistakes), code(spin), code(variants), mutants].map(cell)
    return `| ${[promise, ...cells].join(' | ')} |`
  })
  return `| promise | checker's rules | model refuses | SPIN refuses | seen in the running system | mutants |
|---|---|---|---|---|---|
${rows.join('\n')}
`
}
