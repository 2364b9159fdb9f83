// Loaded by vitest: prints cases × brokers × result after a run of the conformance kits. With MALOTE_WRITE_DOCS=1 it also
// writes docs/conformance.md, which is how that page is brought up to date.
import { readFileSync, writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'
import { type ConformanceResult, formatConformance } from '../packages/outbox-core/src/testing/conformance.ts'
import type { ConformanceMeta } from '../testing/conformance.ts'
import { testedVersions } from '../testing/versions.ts'

const page = new URL('../docs/conformance.md', import.meta.url)

export default class ConformanceReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const metas = modules.flatMap((module) =>
      [...module.children.allTests()].flatMap((test) => test.meta().conformance ?? []),
    )
    if (metas.length === 0) return
    const tables = (['publisher', 'consumer'] as const).map((kit) => tableOf(kit, metas))
    const text = tables.filter((table) => table !== '').join('\n\n')
    process.stdout.write(`\n${text}\n`)
    if (process.env['MALOTE_WRITE_DOCS'] === '1') writeFileSync(page, withTables(readFileSync(page, 'utf8'), text))
  }
}

function tableOf(kit: ConformanceMeta['kit'], metas: readonly ConformanceMeta[]): string {
  const results: Record<string, ConformanceResult[]> = {}
  for (const meta of metas.filter((one) => one.kit === kit).toSorted((a, b) => (a.subject < b.subject ? -1 : 1))) {
    const result =
      meta.status === 'not-run' ? { ...meta, reason: meta.reason ?? '' } : { ...meta, ms: 0, error: undefined }
    ;(results[meta.subject] ??= []).push(result as ConformanceResult)
  }
  if (Object.keys(results).length === 0) return ''
  return `## ${kit === 'publisher' ? 'Publishers' : 'Consumers'}\n\n${formatConformance(results)}`
}

function withTables(text: string, tables: string): string {
  const versions = Object.entries(testedVersions()).map(([what, version]) => `| ${what} | ${version} |`)
  const generated = `| tested against | version |\n|---|---|\n${versions.join('\n')}\n\n${tables.trimEnd()}\n`
  return text.replace(/(<!-- generated -->\n)[\s\S]*$/, (_, marker: string) => `${marker}\n${generated}`)
}
