import type { Answer, Spread } from './benchmark.ts'

interface JsonAnswer {
  readonly figures: Readonly<Record<string, number>>
  /** One per rival or baseline: ours divided by theirs. */
  readonly ratios: Readonly<Record<string, number>>
  /** Smallest and largest of each figure and ratio; a figure that shares its name with a ratio is called `NAME (figure)`. */
  readonly spread: Readonly<Record<string, readonly [number, number]>>
  readonly runs: number
}

/** The object behind `--json`: one key for each benchmark. */
export function toJson(answers: ReadonlyMap<string, Answer>): Record<string, JsonAnswer> {
  return Object.fromEntries([...answers].map(([name, answer]) => [name, jsonAnswer(answer)]))
}

function jsonAnswer({ figures, rows, runs }: Answer): JsonAnswer {
  const ratios = rows.filter((row) => row.kind === 'ratio')
  const spread = Object.fromEntries(ratios.map((row) => [row.name, range(row.value)]))
  for (const [name, figure] of Object.entries(figures))
    spread[name in spread ? `${name} (figure)` : name] = range(figure)
  return {
    figures: Object.fromEntries(Object.entries(figures).map(([name, figure]) => [name, figure.median])),
    ratios: Object.fromEntries(ratios.map((row) => [row.name, row.value.median])),
    spread,
    runs,
  }
}

function range({ min, max }: Spread): [number, number] {
  return [min, max]
}
