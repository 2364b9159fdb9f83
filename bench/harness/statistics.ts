import type { Figure, Rival, Row, Spread, Target, Unit } from './benchmark.ts'

/** Samples by contestant; the i-th sample of each was taken in the i-th round. */
export type Samples<Name extends string = string> = Readonly<Record<Name, readonly number[]>>

/** Values of which one is not a number have no spread: what did not happen in one round is not judged by the other rounds. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.some((value) => Number.isNaN(value))) return { median: Number.NaN, min: Number.NaN, max: Number.NaN }
  const sorted = values.toSorted((a, b) => a - b)
  return { median: percentile(sorted, 0.5), min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN }
}

/** @param sorted - ascending; interpolates between neighbours */
export function percentile(sorted: readonly number[], share: number): number {
  const position = (sorted.length - 1) * share
  const [below, above] = [sorted[Math.floor(position)], sorted[Math.ceil(position)]]
  if (below === undefined || above === undefined) return Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

export function figuresOf(samples: Samples, unit: Unit): Record<string, Figure> {
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, { ...spreadOf(values), unit }]))
}

/**
 * The median of the ratios of each round: what slows one round slows both of its sides. Not a number, which meets no target, when one
 * round has nothing to compare with: a contestant that brought nothing through was broken, and not infinitely slow.
 */
export function ratioOf(ours: readonly number[] | undefined, theirs: readonly number[] | undefined): Spread {
  return spreadOf((ours ?? []).map((value, round) => value / (theirs?.[round] || Number.NaN)))
}

/** @param rival - where the ratio tells who is faster */
export function ratioRow(name: string, label: string, value: Spread, target: Target | null, rival?: Rival): Row {
  return { name, label, kind: 'ratio', value, target, ...(rival === undefined ? {} : { rival }) }
}

/** A rival where more is better: rates. */
export function outrun(name: string): Rival {
  return { name, better: 'more' }
}

/** A rival where less is better: times. */
export function undercut(name: string): Rival {
  return { name, better: 'less' }
}

/** A ratio that is told in percent. @param most - the largest share that is wanted */
export function shareRow(name: string, label: string, value: Spread, most: number | null): Row {
  const target: Target | null =
    most === null ? null : { text: `≤ ${String(Math.round(100 * most))} %`, bound: most, is: 'most' }
  return { name, label, kind: 'ratio', unit: '%', value, target }
}

export function figureRow(name: string, label: string, value: Figure, target: Target | null): Row {
  return { name, label, kind: 'figure', value, unit: value.unit, target }
}

export function atLeast(bound: number, suffix = '×'): Target {
  return { text: `≥ ${String(bound)}${suffix}`, bound, is: 'least' }
}

export function atMost(bound: number, suffix = '×'): Target {
  return { text: `≤ ${String(bound)}${suffix}`, bound, is: 'most' }
}

/** What is not a number meets no target. */
export function isMet({ bound, is }: Target, value: number): boolean {
  return is === 'least' ? value >= bound : value <= bound
}
