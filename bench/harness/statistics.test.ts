import { describe, expect, it } from 'vitest'
import { atLeast, atMost, ratioOf, ratioRow, spreadOf } from './statistics.ts'
import { verdictOf } from './table.ts'

describe('a ratio', () => {
  it('is taken within each round, and its median is judged', () => {
    const row = ratioRow('bare-route', 'ours ÷ theirs', ratioOf([60, 20, 90], [100, 40, 100]), atLeast(0.6))

    expect(row.value).toEqual({ median: 0.6, min: 0.5, max: 0.9 })
    expect(verdictOf(row)).toBe('met')
  })

  it.each([
    ['brought nothing through', [100, 0, 100]],
    ['was not measured', [100, 100]],
  ])('to a contestant that %s in one round meets no target', (_, theirs) => {
    const value = ratioOf([60, 60, 60], theirs)

    expect(value.median).toBeNaN()
    expect(verdictOf(ratioRow('predecessor', '', value, atLeast(0.1)))).toBe('missed')
    expect(verdictOf(ratioRow('predecessor', '', value, atMost(10)))).toBe('missed')
  })
})

it('figures of which one is not a number have no spread', () => {
  expect(spreadOf([1, Number.NaN, 3])).toEqual({ median: Number.NaN, min: Number.NaN, max: Number.NaN })
})
