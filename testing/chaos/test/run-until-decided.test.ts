import { describe, expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import type { ChaosRun } from '../run-chaos.ts'
import { runUntilDecided } from '../run-until-decided.ts'

const options = chaosArguments(['--drain', '1'], () => {})
const waiting = { undelivered: [{ id: 'm1', at: 'outbox' }], violations: [] }
const violated = { undelivered: waiting.undelivered, violations: [{ rule: 'lost', evidence: '' }] }
const health = { drain: { left: 1, ended: 'nothing had got on for 1000 ms' } }
const sound = { undelivered: [], violations: [] }

/** Answers with one report after the other. */
function aRunner(...reports: object[]) {
  const drains: number[] = []
  const run = ({ drainMs }: { drainMs: number }): Promise<ChaosRun> =>
    Promise.resolve({ report: reports[drains.push(drainMs) - 1], health } as unknown as ChaosRun)
  return { drains, run }
}

describe('a chaos run', () => {
  it('that decided nothing is run again with more time, and the next one counts', async () => {
    const { drains, run } = aRunner(waiting, waiting, sound)

    expect((await runUntilDecided(options, run)).report).toBe(sound)
    expect(drains).toEqual([1_000, 2_000, 4_000])
  })

  it('with a violation is never run again', async () => {
    const { drains, run } = aRunner(violated, sound)

    expect((await runUntilDecided(options, run)).report).toBe(violated)
    expect(drains).toEqual([1_000])
  })

  it('that never decides is no pass', async () => {
    const { run } = aRunner(waiting, waiting, waiting)

    await expect(runUntilDecided(options, run)).rejects.toThrow(
      '1 messages undelivered (1 in the outbox) when nothing had got on for 1000 ms, in each of 3 runs: they are stuck',
    )
  })
})
