// Loaded by vitest: ends a run with a table for people, and with the totals on one plain last line for people and for CI logs.
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node'
import { absentServices } from '../testing/absent-services.ts'
import { type CaseOutcome, formatRun } from './run-report.ts'

type TestErrors = Readonly<ReturnType<TestModule['errors']>>

export default class RunReporter implements Reporter {
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const root = this.#vitest?.config.root ?? process.cwd()
    const cases = modules.flatMap((module) => casesOf(module, root))
    const isSelection = this.#vitest?.config.testNamePattern !== undefined
    const isCi = process.env['CI'] === 'true' && !isSelection
    const { text, isFailure } = formatRun(cases, { otherErrors: errors.length, isCi, isSelection })
    process.stdout.write(`\n${text}\n`)
    if (isFailure) process.exitCode = 1
  }
}

function casesOf(module: TestModule, root: string): CaseOutcome[] {
  const file = relative(root, module.moduleId).replaceAll('\\', '/')
  const place = { package: packageOf(file), tier: module.project.name, file }
  const absence = lazily(() => absenceIn(readFileSync(module.moduleId, 'utf8')))
  const cases = [...module.children.allTests()].map((test) => ({ ...place, ...outcomeOf(test, absence) }))
  // A file that could not be loaded, or whose hooks failed outside of any case.
  const failures = [module, ...module.children.allSuites()].flatMap((place) => place.errors())
  const whole = { ...place, name: '(the file itself)', ms: 0, state: 'failed' as const }
  const broken = failures.length === 0 ? [] : [{ ...whole, ...errorOf(failures) }]
  return [...cases, ...broken]
}

function outcomeOf(test: TestCase, absence: () => string | null): Omit<CaseOutcome, 'package' | 'tier' | 'file'> {
  const result = test.result()
  const diagnostic = test.diagnostic()
  const common = { name: test.fullName, ms: diagnostic?.duration ?? 0 }
  if (result.state === 'failed') return { ...common, state: 'failed', ...errorOf(result.errors) }
  if (result.state !== 'passed') {
    const note = 'note' in result ? result.note : undefined
    return { ...common, state: 'not-run', reason: note ?? absence() ?? 'no reason given' }
  }
  if (diagnostic?.flaky !== true) return { ...common, state: 'passed' }
  return { ...common, state: 'passed', flaky: result.errors?.[0]?.message ?? 'passed when run once more' }
}

/** The first error of a case, and the frames of it that are the project's own. */
function errorOf(errors: TestErrors): { error?: string } {
  const [first] = errors
  if (first === undefined) return {}
  const frames = first.stacks?.map(({ file, line }) => `  at ${relative(process.cwd(), file)}:${String(line)}`) ?? []
  const message = first.message.split('\n').slice(0, 8)
  return { error: [...message, ...frames.slice(0, 3)].join('\n') }
}

/** `packages/outbox-core`, `examples/brokerage`, or the top folder. */
function packageOf(file: string): string {
  const [top = file, name] = file.split('/')
  return ['packages', 'examples'].includes(top) && name !== undefined ? `${top}/${name}` : top
}

/** Why a file that asks for services skipped cases, or null when it has all it asks for. */
function absenceIn(source: string): string | null {
  const missing = [...absentServices].filter(([service]) => source.includes(`inject('${service}')`))
  return missing.length === 0 ? null : missing.map(([service, why]) => `${service}: ${why}`).join('; ')
}

function lazily<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined
  return () => (made ??= { value: make() }).value
}
