import {
  type Absences,
  type ConformanceCase,
  runConformanceCase,
  splitConformance,
} from '../packages/outbox-core/src/testing/conformance.ts'
import { describe, expect, it } from 'vitest'
import { scaledTimeout } from './slowness.ts'

/** What a conformance test leaves on its vitest task, for the report of cases × brokers. */
export interface ConformanceMeta {
  readonly kit: 'publisher' | 'consumer'
  readonly subject: string
  readonly name: string
  readonly status: 'passed' | 'failed' | 'not-run'
  readonly reason?: string
}

declare module 'vitest' {
  interface TaskMeta {
    conformance?: readonly ConformanceMeta[]
  }
}

/**
 * Registers every case of a kit that the broker can run as a vitest test of its own, and one test that lists the others.
 *
 * @param subject - adapter and flavour, for example `sqs fifo`
 * @param harness - called when a case runs, so that `beforeAll` may make it
 */
export function describeConformance<Harness>(
  kit: ConformanceMeta['kit'],
  subject: string,
  cases: readonly ConformanceCase<Harness>[],
  harness: () => Harness,
  absences: Absences<Harness> = {},
): void {
  const { applicable, notRun } = splitConformance(cases, absences)
  describe(`${kit} conformance of ${subject}`, () => {
    // Not `it.for`: it cuts a name in a title after forty characters.
    for (const one of applicable) {
      it(one.name, { timeout: scaledTimeout(180_000) }, async ({ task }) => {
        const result = await runConformanceCase(one, harness())
        task.meta.conformance = [{ kit, subject, name: one.name, status: result.status }]
        if (result.status === 'failed') throw result.error
      })
    }
    it(`${String(notRun.length)} cases are not run, each for a stated reason`, ({ task }) => {
      task.meta.conformance = notRun.map(({ name, status, reason }) => ({ kit, subject, name, status, reason }))
      for (const { reason } of notRun) expect(reason).not.toBe('')
    })
  })
}

/**
 * Names a subject on which no case of a kit runs, as one test, which fails when the reason no longer holds.
 *
 * @param holds - looks whether the reason is still true
 */
export function nameNotRun(
  kit: ConformanceMeta['kit'],
  subject: string,
  cases: readonly ConformanceCase<never>[],
  reason: string,
  holds: () => Promise<boolean>,
): void {
  it(`${kit} conformance of ${subject} is not run: ${reason}`, async ({ task }) => {
    expect(await holds(), 'the reason is gone: hold it to the kit').toBe(true)
    task.meta.conformance = cases.map(({ name }) => ({ kit, subject, name, status: 'not-run', reason }))
  })
}
