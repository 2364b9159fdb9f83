import type { Committed } from './history.ts'

export type Rule =
  | 'lost'
  | 'not-committed'
  | 'out-of-order'
  | 'published-out-of-order'
  | 'duplicate-without-fault'
  | 'effect-missing'
  | 'effect-twice'
  | 'unexpected-dead-letter'
  | 'dead-letter-missing'
  | 'two-owners'
  | 'published-without-the-lane'
  | 'floor-passed-a-message'
  | 'cut-off-too-early'

export interface Violation {
  readonly rule: Rule
  /** What shows it, readable without the run: ids, places, instants. */
  readonly evidence: string
}

export const violation = (rule: Rule, evidence: string): Violation => ({ rule, evidence })

/** Names a message so that a reader finds it in the run's logs. */
export const described = ({ id, key, place, lane, atMs }: Committed): string =>
  `${id} (${key === null ? 'no key' : `key ${key}, place ${String(place)}`}, lane ${String(lane)}, committed at ${String(Math.round(atMs))})`
