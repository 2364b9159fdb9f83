// Run by reruns.test.ts as a test file of its own: it is no part of the suite, and cases of it fail on purpose.
import { afterEach, expect, it } from 'vitest'
import { HarnessError } from '../harness-error.ts'

const runs = new Map<string, number>()
function count(name: string): number {
  const run = (runs.get(name) ?? 0) + 1
  runs.set(name, run)
  console.log(`ran ${name}`)
  return run
}

it('harness fails once', () => {
  if (count('harness-once') === 1) throw new HarnessError('no leader')
})
it('harness fails always', () => {
  count('harness-always')
  throw new HarnessError('no leader')
})
it('finds a violation', () => expect(count('violation')).toBe(0))
it('finds a violation, then the clean-up fails', () => expect(count('violation-and-clean-up')).toBe(0))
afterEach(({ task }) => {
  if (task.name.endsWith('the clean-up fails')) throw new HarnessError('cannot drop the database')
})
