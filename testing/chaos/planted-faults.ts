import { plantedForJudges } from '../judges/planted-faults.ts'
import type { Rule } from '../history/violation.ts'
import type { BlamingMistake } from '../model/blaming.ts'
import type { ConsumingMistake } from '../model/consuming.ts'
import type { Mistake } from '../model/protocol.ts'
import type { SteeringMistake } from '../model/steering.ts'
import type { PromiseName } from '../mutants/mutant.ts'
import type { Variant } from './roles/role.ts'

/** A promise, what judges it, and the faults that were planted to show that it would be noticed. */
export interface Guarantee {
  /** As docs/guarantees.md states it. */
  readonly promise: string
  /** What the mutants, and SPIN's models, call it. */
  readonly called: PromiseName
  /** What judges it beside the checker's rules. */
  readonly heldBy: string
  /** Rules of the history checker. Each is broken by a made-up history in its own test. */
  readonly rules: readonly Rule[]
  /** What a model finds broken where this promise is. */
  readonly properties: readonly string[]
  /** Mistakes whose counterexample a model's test expects, each breaking one of the properties. */
  readonly mistakes: readonly (Mistake | ConsumingMistake | BlamingMistake | SteeringMistake)[]
  /** The same for SPIN, as its models name them. */
  readonly spin: readonly string[]
  /** Rules taken out of the running system, each seen as the breach of one of the checker's rules. */
  readonly variants: readonly Variant[]
  /** Names of mutants of the code, each of which breaks this promise. */
  readonly mutants: readonly string[]
  /** The same, refused by brokers, and clients of them, that nobody here wrote. Empty where none of these could see it. */
  readonly foreign: readonly string[]
}

const disorder = 'a message published before an earlier one of its key'

export const guaranteesWithFaults: readonly Guarantee[] = [
  {
    promise: 'A committed message is delivered, or is a dead letter because it was made to fail',
    called: 'delivered',
    heldBy: "the model's trap check",
    rules: ['lost'],
    properties: ['a message settled that no broker has', 'a message that can never be published'],
    mistakes: ['settle-before-acknowledgement', 'wait-for-a-settled-message'],
    spin: [
      'SETTLE_BEFORE_ACKNOWLEDGEMENT',
      'WAIT_FOR_A_SETTLED_MESSAGE',
      'FORWARD_ONLY_POSITION',
      'FLOOR_WITHOUT_LOCKS',
    ],
    variants: ['acknowledge-before-broker', 'floor-without-locks'],
    mutants: ['the floor ignores who still writes', 'a rewind stops one short'],
    foreign: [
      'what no queue took counts as accepted',
      'a publisher does not wait for the answer',
      'a message without a key counts as accepted and is not sent',
    ],
  },
  {
    promise: 'A message of a transaction that did not commit is never delivered',
    called: 'backed',
    heldBy: 'the model',
    rules: ['not-committed'],
    properties: ['a message published whose transaction has not committed'],
    mistakes: ['add-outside-the-transaction'],
    spin: ['ADD_OUTSIDE_THE_TRANSACTION'],
    variants: ['add-outside-the-transaction'],
    mutants: ['a message is added beside the transaction, not in it'],
    foreign: [],
  },
  {
    promise:
      "First deliveries of one ordering key come in the order of its commits, when writers lock the key's row first",
    called: 'ordered',
    heldBy: 'the model',
    rules: ['out-of-order'],
    properties: [disorder],
    mistakes: ['forward-only-position', 'late-read-skipped'],
    spin: ['SEND_BEHIND_A_FAILURE'],
    variants: ['send-behind-a-failure', 'floor-without-locks'],
    mutants: ['a read during which an old writer ended is used', 'a line sends while its last request is in flight'],
    foreign: ['messages of one key are handled beside each other', 'a record has not its ordering key'],
  },
  {
    promise: 'A broker takes a message of a key only after it took every earlier one',
    called: 'ordered',
    heldBy: 'the model',
    rules: ['published-out-of-order'],
    properties: [disorder],
    mistakes: [
      'send-behind-an-unaccepted-message',
      'new-owner-ignores-waiting-keys',
      'retry-without-fence',
      'replay-keeps-what-waits',
    ],
    spin: ['SEND_BEHIND_A_FAILURE', 'NEW_OWNER_IGNORES_WAITING_KEYS', 'RETRY_WITHOUT_FENCE'],
    variants: ['send-behind-a-failure'],
    mutants: ['a line sends while its last request is in flight'],
    foreign: [
      'what comes behind a failure is sent',
      'what comes behind a message that is too large is sent',
      'a client sends the last record first',
    ],
  },
  {
    promise: 'A message is published again only when it was in flight at a fault',
    called: 'unrepeated',
    heldBy: 'the model',
    rules: ['duplicate-without-fault'],
    properties: ['a message published twice although nothing failed while it was in flight'],
    mistakes: ['forget-settled-at-once', 'hand-over-with-unsettled-messages'],
    spin: ['FORGET_SETTLED_AT_ONCE', 'HAND_OVER_UNSETTLED'],
    variants: ['published-rows-stay'],
    mutants: ['a read brings what is in flight once more', 'a row that changed while its delete waited stays'],
    foreign: ['each message is sent twice'],
  },
  {
    promise: 'A consumer that uses the inbox applies each message once',
    called: 'once',
    heldBy: 'the model of a consumer',
    rules: ['effect-missing', 'effect-twice'],
    properties: ['a message acknowledged that was not applied', 'a message applied twice'],
    mistakes: ['acknowledge-before-commit', 'apply-without-inbox', 'inbox-outside-the-transaction'],
    spin: ['ACKNOWLEDGE_BEFORE_COMMIT', 'APPLY_WITHOUT_INBOX', 'INBOX_OUTSIDE_THE_TRANSACTION'],
    variants: ['acknowledge-before-commit', 'apply-without-inbox'],
    mutants: [
      'a handler whose error is swallowed can commit its inbox row',
      'a message alone that was applied counts as new',
    ],
    foreign: ['a message is acknowledged before it is handled'],
  },
  {
    promise: 'Only messages that fail become dead letters',
    called: 'innocent',
    heldBy: 'the model of who is at fault',
    rules: ['unexpected-dead-letter', 'dead-letter-missing'],
    properties: ['a message died that nothing was wrong with'],
    mistakes: ['charge-an-outage', 'blame-the-whole-batch', 'proof-from-another-topic'],
    spin: ['CHARGE_AN_OUTAGE', 'BLAME_THE_WHOLE_BATCH'],
    variants: ['blame-messages', 'retry-without-fence', 'outages-cost-attempts'],
    mutants: ['one outage among other errors makes all an outage', 'a message dies one attempt early'],
    foreign: ['a delivery that is no attempt counts as one'],
  },
  {
    promise: 'A lane has at most one unfenced owner, and no publish begins without owning the lane',
    called: 'owned',
    heldBy: 'the model',
    rules: ['two-owners', 'published-without-the-lane'],
    properties: ['a lane with two unfenced owners', 'a publish that began without owning the lane'],
    mistakes: ['take-a-lane-that-is-owned', 'publish-after-the-lease'],
    spin: ['TAKE_AN_OWNED_LANE', 'PUBLISH_AFTER_THE_LEASE'],
    variants: ['take-owned-lanes'],
    mutants: ['a fence is not compared', 'an expired lease can be renewed'],
    foreign: [],
  },
  {
    promise:
      'A [cut-off](operations.md#drawing-a-line) that is complete leaves nothing behind that had begun before it, but what it names',
    called: 'complete',
    heldBy: 'in every run an operator draws one line after the other',
    rules: ['cut-off-too-early'],
    properties: ['a cut-off that claims what is not so'],
    mistakes: ['bound-before-the-writers-end', 'cut-off-looks-at-ready-rows-only'],
    spin: ['CUT_OFF_FORGETS_WRITERS', 'CUT_OFF_FORGETS_WAITING_ROWS'],
    variants: ['cut-off-forgets-writers'],
    mutants: ['a cut-off forgets who had begun', 'a cut-off forgets what is prepared'],
    foreign: [],
  },
]

const code = (names: readonly string[]): string[] => names.map((name) => `\`${name}\``)

/** The table of docs/guarantees.md that says what is promised, and what judges it. */
export function promiseTable(): string {
  const rows = guaranteesWithFaults.map(({ promise, rules, heldBy }) => {
    const named = `${rules.length === 1 ? 'rule' : 'rules'} ${code(rules).join(', ')}`
    return `| ${promise} | ${named}; ${heldBy} |`
  })
  return `| promise | held by |
|---|---|
${rows.join('\n')}
`
}

function withJudges(fault: string): string {
  const judges = plantedForJudges.find(({ name }) => name === fault)?.judges ?? []
  return `${fault} (${judges.join(', ')})`
}

/** The table of docs/guarantees.md that says which planted faults were noticed. */
export function plantedFaultTable(): string {
  const cell = (names: readonly string[]): string => names.join('; ')
  const rows = guaranteesWithFaults.map(({ promise, rules, mistakes, spin, variants, mutants, foreign }) => {
    const refused = foreign.length === 0 ? ['out of their sight'] : foreign.map(withJudges)
    const cells = [code(rules), code(mistakes), code(spin), code(variants), mutants, refused].map(cell)
    return `| ${[promise, ...cells].join(' | ')} |`
  })
  return `| promise | checker's rules | model refuses | SPIN refuses | seen in the running system | mutants | other foreign judges refuse |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}
