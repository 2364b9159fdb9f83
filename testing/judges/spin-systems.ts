import type { PromiseName } from '../mutants/mutant.ts'

/** Promises that the models state. */
type Claim = Exclude<PromiseName, 'outage' | 'refused' | 'foreign' | 'replayed' | 'confidential' | 'bounded'>

/** How SPIN words its objection where a promise is broken. */
export const objections: Readonly<Record<Claim, RegExp>> = {
  // It is never published, or off the table before the broker has it.
  delivered: /invalid end state|assertion violated \(\(published>>/,
  backed: /unbacked/,
  unrepeated: /excused/,
  ordered: /keyed/,
  once: /applied/,
  // Whoever died was not the culprit.
  innocent: /\((a|b)==\d+\)/,
  owned: /owner==me/,
  complete: /openWriters|owed/,
}

/** A run of the checker over every interleaving of a model. */
export interface System {
  /** `lane`: the relay's protocol. `consumer`: a consumer with an inbox. `blame`: who pays for a rejected batch. */
  readonly model: 'lane' | 'consumer' | 'blame'
  /** How many there are of what, as the model names it. */
  readonly size: Readonly<Record<string, number>>
  /** A rule that is taken out, as the model names it, and what the checker must find broken. */
  readonly mistake?: { readonly name: string; readonly breaks: Claim }
}

const few = { WRITERS: 2, FAULTS: 2 }
const many = { WRITERS: 3, FAULTS: 1 }
/** With somebody who asks for a cut-off beside the lane. */
const asked = { WRITERS: 2, FAULTS: 1, CUT_OFF: 1 }
const three = { FAULTS: 3 }
const nobody = { FAULTS: 1 }
const first = { FAULTS: 1, CULPRIT: 0 }

export const soundSystems: readonly System[] = [
  { model: 'lane', size: { WRITERS: 2, FAULTS: 3 } },
  { model: 'lane', size: many },
  { model: 'lane', size: { WRITERS: 3, FAULTS: 2 } },
  { model: 'lane', size: asked },
  { model: 'consumer', size: { FAULTS: 5 } },
  { model: 'blame', size: nobody },
  { model: 'blame', size: first },
]
export const brokenSystems: readonly (System & Required<Pick<System, 'mistake'>>)[] = [
  { model: 'lane', size: many, mistake: { name: 'ADD_OUTSIDE_THE_TRANSACTION', breaks: 'backed' } },
  { model: 'lane', size: many, mistake: { name: 'FORWARD_ONLY_POSITION', breaks: 'delivered' } },
  { model: 'lane', size: many, mistake: { name: 'FLOOR_WITHOUT_LOCKS', breaks: 'delivered' } },
  { model: 'lane', size: many, mistake: { name: 'FORGET_SETTLED_AT_ONCE', breaks: 'unrepeated' } },
  { model: 'lane', size: few, mistake: { name: 'SETTLE_BEFORE_ACKNOWLEDGEMENT', breaks: 'delivered' } },
  { model: 'lane', size: few, mistake: { name: 'SEND_BEHIND_A_FAILURE', breaks: 'ordered' } },
  { model: 'lane', size: few, mistake: { name: 'RETRY_WITHOUT_FENCE', breaks: 'ordered' } },
  { model: 'lane', size: few, mistake: { name: 'NEW_OWNER_IGNORES_WAITING_KEYS', breaks: 'ordered' } },
  { model: 'lane', size: few, mistake: { name: 'HAND_OVER_UNSETTLED', breaks: 'unrepeated' } },
  { model: 'lane', size: few, mistake: { name: 'WAIT_FOR_A_SETTLED_MESSAGE', breaks: 'delivered' } },
  { model: 'lane', size: few, mistake: { name: 'PUBLISH_AFTER_THE_LEASE', breaks: 'owned' } },
  { model: 'lane', size: few, mistake: { name: 'TAKE_AN_OWNED_LANE', breaks: 'owned' } },
  { model: 'lane', size: asked, mistake: { name: 'CUT_OFF_FORGETS_WRITERS', breaks: 'complete' } },
  { model: 'lane', size: asked, mistake: { name: 'CUT_OFF_FORGETS_WAITING_ROWS', breaks: 'complete' } },
  { model: 'consumer', size: three, mistake: { name: 'ACKNOWLEDGE_BEFORE_COMMIT', breaks: 'once' } },
  { model: 'consumer', size: three, mistake: { name: 'APPLY_WITHOUT_INBOX', breaks: 'once' } },
  { model: 'consumer', size: three, mistake: { name: 'LOOK_BEFORE_CLAIMING', breaks: 'once' } },
  { model: 'consumer', size: three, mistake: { name: 'INBOX_OUTSIDE_THE_TRANSACTION', breaks: 'once' } },
  { model: 'blame', size: nobody, mistake: { name: 'CHARGE_AN_OUTAGE', breaks: 'innocent' } },
  { model: 'blame', size: first, mistake: { name: 'BLAME_THE_WHOLE_BATCH', breaks: 'innocent' } },
]
