import { afterEach, expect, it } from 'vitest'
import { shake } from './shake.ts'

const { random } = Math
afterEach(() => {
  Math.random = random
})

it.each([
  ['low', 0, 0.01],
  ['high', 0.99, 1],
] as const)('%s draws at one end and never twice the same', (name, least, below) => {
  shake(name)

  const draws = Array.from({ length: 100 }, () => Math.random())
  for (const draw of draws) {
    expect(draw).toBeGreaterThanOrEqual(least)
    expect(draw).toBeLessThan(below)
  }
  expect(new Set(draws).size).toBe(100)
})

it('refuses a name it does not know, and says which there are', () => {
  expect(() => shake('low,earthquake')).toThrow('"earthquake": it must be of low, high, stall')
})
