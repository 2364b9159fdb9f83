// Loaded by vitest: prints the conformance kits as a table of cases × brokers × result, when any of their cases ran.
import type { Reporter, TestModule } from 'vitest/node'
import type { ConformanceResult } from '../packages/outbox-core/src/testing/conformance.ts'
import { formatConformance } from '../packages/outbox-core/src/testing/conformance.ts'
import type { ConformanceMeta } from '../testing/conformance.ts'

export default class ConformanceReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const entries = modules.flatMap((module) =>
      [...module.children.allTests()].flatMap((test) => {
        const noted = (test.meta() as { conformance?: readonly ConformanceMeta[] }).conformance ?? []
        // A case that timed out noted nothing: its test's name is still the case's.
        return noted.map((entry) =>
          test.result().state === 'failed' ? { ...entry, status: 'failed' as const } : entry,
        )
      }),
    )
    for (const kit of ['publisher', 'consumer'] as const) {
      const ofKit = entries.filter((entry) => entry.kit === kit)
      if (ofKit.length === 0) continue
      const bySubject: Record<string, ConformanceResult[]> = {}
      for (const { subject, name, status, reason = '' } of ofKit)
        (bySubject[subject] ??= []).push(
          status === 'not-run' ? { name, status, reason } : { name, status, ms: 0, error: null },
        )
      process.stdout.write(`\n${kit} conformance\n\n${formatConformance(bySubject)}\n`)
    }
  }
}
