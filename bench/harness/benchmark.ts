import type { BenchServer } from './server.ts'

/** What a question is given. */
export interface BenchContext {
  readonly server: BenchServer
  /** Alternating rounds: each contestant runs once per round. */
  readonly rounds: number
  /** 1 for the committed figures, less for a quick look: multiplies the number of messages. */
  readonly scale: number
  readonly log: (line: string) => void
}

/** One question, answered by measuring contestants side by side. */
export interface Benchmark {
  /** As typed: `npm run bench -- NAME`. */
  readonly name: string
  readonly question: string
  /** Alternating rounds unless somebody says how many. @defaultValue 5; 3 where a round takes long and its figures are far from their targets */
  readonly rounds?: number
  run(context: BenchContext): Promise<Answer>
}

/** The median of some samples with the smallest and the largest of them. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export type Unit =
  | 'messages/s'
  | 'commits/s'
  | 'µs/call'
  | 'µs/message'
  | 'ms'
  | 'MB'
  | 'statements/s'
  | '%'
  | 'messages'
  | 'orders/s'
  | 'requests/s'
  | 'errors'

export interface Figure extends Spread {
  readonly unit: Unit
}

/** What is promised of a ratio or of a figure. Answers travel between processes and are kept: data, no function. */
export interface Target {
  /** `≥ 2.0×`, as it stands in the table. */
  readonly text: string
  readonly bound: number
  readonly is: 'least' | 'most'
}

/** Whom a ratio compares us with: other software, or the same work without ours. */
export interface Rival {
  readonly name: string
  /** Whose side a ratio above 1 takes: rates are ours when they are `more`, times when they are `less`. */
  readonly better: 'more' | 'less'
}

export interface Row {
  /** Rival or baseline, for example `graphile-worker`; the key in `--json`. */
  readonly name: string
  /** What is compared with what, for the table. */
  readonly label: string
  readonly kind: 'ratio' | 'figure'
  readonly value: Spread
  readonly unit?: Unit
  readonly target: Target | null
  /** Set where the row says who is faster: it stands under "Who wins" too. */
  readonly rival?: Rival
}

export interface Answer {
  /** What was measured, by contestant. */
  readonly figures: Readonly<Record<string, Figure>>
  /** What it comes to: one row of the table each. */
  readonly rows: readonly Row[]
  /** Rounds that were run. */
  readonly runs: number
  /** What a reader must know to judge the figures: shortcuts, caps, configurations. */
  readonly notes?: readonly string[]
}
