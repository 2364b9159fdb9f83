import { describe, expect, it } from 'vitest'
import { aMessage, published, rulesBrokenBy, sound } from './a-history.ts'
import { checkHistory, outcomeOf } from './check-history.ts'
import type { Arrival, History } from './history.ts'

describe('a message that was not through when the run ended', () => {
  const [first] = sound.arrivals
  const late: Partial<History> = {
    committed: [...sound.committed, aMessage('m3', { atMs: 5 })],
    publications: [...sound.publications, published('m3', { startedAtMs: 1_020 })],
  }
  const judged = (change: Partial<History>) => checkHistory({ ...sound, ...late, ...change })

  it('is undelivered while the outbox has it', () => {
    const verdict = judged({ publications: sound.publications, remains: { outbox: ['m3'], broker: 0, letters: 0 } })

    expect(verdict).toMatchObject({ lost: 0, violations: [], undelivered: [{ id: 'm3', at: 'outbox' }] })
    expect(outcomeOf(verdict)).toBe('inconclusive')
  })

  it('is undelivered while the broker holds it', () => {
    const verdict = judged({ remains: { outbox: [], broker: 1, letters: 0 } })

    expect(verdict).toMatchObject({ lost: 0, violations: [], undelivered: [{ id: 'm3', at: 'broker' }] })
    expect(outcomeOf(verdict)).toBe('inconclusive')
  })

  it('is undelivered while a consumer has it and has not acknowledged it', () => {
    const arrivals = [...sound.arrivals, { id: 'm3', atMs: 1_040 }]
    const verdict = judged({ arrivals, remains: { outbox: [], broker: 1, letters: 0 } })

    expect(verdict).toMatchObject({ lost: 0, violations: [], undelivered: [{ id: 'm3', at: 'consumer' }] })
    expect(outcomeOf(verdict)).toBe('inconclusive')
  })

  it('is lost when it is nowhere, and its missing effect is not told a second time', () => {
    const verdict = judged({})

    expect(verdict).toMatchObject({ lost: 1, violations: [{ rule: 'lost' }], undelivered: [] })
    expect(outcomeOf(verdict)).toBe('violated')
  })

  it('is a missing effect when it was handed over and acknowledged', () => {
    expect(judged({ arrivals: [...sound.arrivals, { id: 'm3', atMs: 1_040 }] })).toMatchObject({
      lost: 0,
      violations: [{ rule: 'effect-missing' }],
      undelivered: [],
    })
  })

  it('does not hide one that is lost: the broker holds one of two', () => {
    const verdict = judged({
      arrivals: [first as Arrival],
      effects: sound.effects.slice(0, 1),
      remains: { outbox: [], broker: 1, letters: 0 },
    })

    expect(verdict).toMatchObject({
      lost: 1,
      violations: [{ rule: 'lost' }],
      undelivered: [{ id: 'm3', at: 'broker' }],
    })
    expect(outcomeOf(verdict)).toBe('violated')
  })

  it('and was made to fail is missing among the dead letters only when the outbox has lost it', () => {
    const doomed = { committed: [...sound.committed, aMessage('m3', { isDoomed: true })] }

    expect(judged({ ...doomed, remains: { outbox: ['m3'], broker: 0, letters: 0 } }).violations).toEqual([])
    expect(judged(doomed).violations.map(({ rule }) => rule)).toContain('dead-letter-missing')
  })

  it('and that no consumer can handle has to be where dead letters go', () => {
    const refused = {
      committed: [...sound.committed, aMessage('m3', { isRefused: true })],
      publications: [...sound.publications, published('m3')],
      arrivals: [...sound.arrivals, { id: 'm3', atMs: 1_040 }],
    }

    expect(rulesBrokenBy({ ...refused, refusals: ['m3'] })).toEqual(['effect-missing'])
    expect(rulesBrokenBy({ ...refused, remains: { ...sound.remains, letters: 1 } })).toEqual([])
  })

  it('and that a consumer gave up although nothing was wrong with it is a violation', () => {
    expect(rulesBrokenBy({ refusals: ['m2'] })).toEqual(['unexpected-dead-letter'])
  })
})
