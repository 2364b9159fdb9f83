import { describe, expect, it } from 'vitest'
import { type ConformanceCase, describeConformance } from '../src/testing/index.ts'

interface Harness {
  readonly name: string
  readonly stopBroker?: true
}

const cases: readonly ConformanceCase<Harness>[] = [
  { name: 'passes', run: () => Promise.resolve() },
  { name: 'fails', run: () => Promise.reject(new Error('not so')) },
  { name: 'needs a broker to stop', needs: ['stopBroker'], run: () => Promise.resolve() },
]

/** What a runner is told, and what becomes of it. */
async function resultsOf(absences: { readonly stopBroker?: string }): Promise<Record<string, string>> {
  const tests = new Map<string, () => Promise<void>>()
  const runner = {
    describe: (_: string, define: () => void) => define(),
    it: (name: string, run: () => Promise<void>) => void tests.set(name, run),
  }
  describeConformance(runner, 'mine', cases, (): Harness => ({ name: 'mine' }), absences)
  const results: Record<string, string> = {}
  for (const [name, run] of tests) {
    try {
      await run()
      results[name] = 'passed'
    } catch (error) {
      results[name] = (error as Error).message
    }
  }
  return results
}

describe('the kit under any test runner', () => {
  it('is a test for each case, and tells of those that are not run', async () => {
    expect(await resultsOf({ stopBroker: 'it is not ours to stop' })).toEqual({
      passes: 'passed',
      fails: 'not so',
      '1 cases are not run, each for a stated reason': 'passed',
    })
  })

  it('fails where a part of the harness is missing and nobody says why', async () => {
    const results = Object.values(await resultsOf({ stopBroker: ' ' }))

    expect(results).toContain('not run and nobody says why: needs a broker to stop')
  })
})
