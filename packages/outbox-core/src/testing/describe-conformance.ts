import { type Absences, type ConformanceCase, runConformanceCase, splitConformance } from './conformance.ts'

/** What is used of a test runner: `{ describe, it }` of vitest, Jest, Mocha or `node:test`. */
export interface TestRunner {
  readonly describe: (name: string, define: () => void) => unknown
  readonly it: (name: string, run: () => Promise<void>, timeoutMs: number) => unknown
}

/** A case waits for brokers that restart and messages that come again. */
const timeoutMs = 180_000

/**
 * Registers every case of a kit that the broker can run as a test of its own, and one that fails when an absence has no reason.
 *
 * @param subject - adapter and flavour, for example `nats`
 * @param harness - called when a case runs, so that `beforeAll` may make it
 * @param absences - why the harness lacks what it lacks
 */
export function describeConformance<Harness>(
  { describe, it }: TestRunner,
  subject: string,
  cases: readonly ConformanceCase<Harness>[],
  harness: () => Harness,
  absences: Absences<Harness> = {},
): void {
  const { applicable, notRun } = splitConformance(cases, absences)
  describe(`conformance of ${subject}`, () => {
    for (const one of applicable) it(one.name, () => runToEnd(one, harness()), timeoutMs)
    const withoutReason = notRun.filter(({ reason }) => reason.trim() === '').map(({ name }) => name)
    const check = (): Promise<void> =>
      withoutReason.length === 0
        ? Promise.resolve()
        : Promise.reject(new Error(`not run and nobody says why: ${withoutReason.join('; ')}`))
    it(`${String(notRun.length)} cases are not run, each for a stated reason`, check, timeoutMs)
  })
}

async function runToEnd<Harness>(one: ConformanceCase<Harness>, harness: Harness): Promise<void> {
  const result = await runConformanceCase(one, harness)
  if (result.status === 'failed') throw result.error
}
