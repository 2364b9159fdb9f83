import { systemClock } from '../clock.ts'

/**
 * One thing an adapter must do, as data: any test runner can run it, count it and print it.
 *
 * @typeParam Harness - what the case needs from the adapter's author to reach a real broker
 */
export interface ConformanceCase<Harness> {
  /** A sentence that is true of a correct adapter. */
  readonly name: string
  /** Optional parts of the harness without which the case means nothing. */
  readonly needs?: readonly (keyof Harness & string)[]
  /** @throws AssertionError (or whatever the adapter threw) when the sentence is not true */
  run(harness: Harness): Promise<void>
}

/** Why a broker cannot run the cases that need a part of the harness, in words for the report. */
export type Absences<Harness> = { readonly [Part in keyof Harness]?: string }

/** What became of one case of a kit. `not-run` carries the reason: a case that was left out is named, never counted as passed. */
export type ConformanceResult =
  | { readonly name: string; readonly status: 'passed'; readonly ms: number }
  | { readonly name: string; readonly status: 'failed'; readonly ms: number; readonly error: unknown }
  | { readonly name: string; readonly status: 'not-run'; readonly reason: string }

/**
 * Parts the cases into those a broker can run and those it cannot, each with the reason given in `absences`.
 * Decided without a broker, so that a runner can name its tests before it starts one.
 */
export function splitConformance<Harness>(
  cases: readonly ConformanceCase<Harness>[],
  absences: Absences<Harness> = {},
): {
  readonly applicable: readonly ConformanceCase<Harness>[]
  readonly notRun: readonly Extract<ConformanceResult, { status: 'not-run' }>[]
} {
  const reasonOf = (one: ConformanceCase<Harness>): string | undefined =>
    one.needs?.map((part) => absences[part]).find((reason) => reason !== undefined)
  return {
    applicable: cases.filter((one) => reasonOf(one) === undefined),
    notRun: cases.flatMap((one) => {
      const reason = reasonOf(one)
      return reason === undefined ? [] : [{ name: one.name, status: 'not-run' as const, reason }]
    }),
  }
}

/** Runs one case against a harness. Never rejects: a failure is a result. */
export async function runConformanceCase<Harness>(
  one: ConformanceCase<Harness>,
  harness: Harness,
): Promise<ConformanceResult> {
  const missing = one.needs?.find((part) => harness[part] === undefined)
  const startedMs = systemClock.monotonicMs()
  try {
    if (missing !== undefined)
      throw new Error(`the harness lacks "${missing}": provide it, or declare in the absences why the broker cannot`)
    await one.run(harness)
    return { name: one.name, status: 'passed', ms: systemClock.monotonicMs() - startedMs }
  } catch (error) {
    return { name: one.name, status: 'failed', ms: systemClock.monotonicMs() - startedMs, error }
  }
}

/** Runs all cases one after the other and yields a result for each, also for those the broker cannot run. */
export async function* runConformance<Harness>(
  cases: readonly ConformanceCase<Harness>[],
  harness: Harness,
  absences: Absences<Harness> = {},
): AsyncGenerator<ConformanceResult> {
  const { applicable, notRun } = splitConformance(cases, absences)
  yield* notRun
  for (const one of applicable) yield await runConformanceCase(one, harness)
}

/** A Markdown table of cases × subjects × result; the reasons of what was not run follow it. */
export function formatConformance(results: Readonly<Record<string, readonly ConformanceResult[]>>): string {
  const subjects = Object.keys(results)
  const names = [...new Set(Object.values(results).flatMap((list) => list.map((result) => result.name)))]
  const reasons: string[] = []
  const cell = (subject: string, name: string): string => {
    const result = results[subject]?.find((one) => one.name === name)
    if (result === undefined) return ''
    if (result.status !== 'not-run') return result.status === 'passed' ? 'pass' : 'FAIL'
    const reason = `${subject}: ${result.reason}`
    const number = reasons.includes(reason) ? reasons.indexOf(reason) + 1 : reasons.push(reason)
    return `not run (${String(number)})`
  }
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    row(['case', ...subjects]),
    row(['---', ...subjects.map(() => '---')]),
    ...names.map((name) => row([name, ...subjects.map((subject) => cell(subject, name))])),
    '',
    ...reasons.map((reason, index) => `${String(index + 1)}. ${reason}`),
  ].join('\n')
}
