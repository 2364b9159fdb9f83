import { afterEach, beforeEach, expect, it } from 'vitest'
import { shake } from './shake.ts'

const { random } = Math
beforeEach(() => {
  let draws = 0
  Math.random = () => (draws++ * 0.618_034) % 1 // Evenly spread, and not shaken by the run itself.
})
afterEach(() => {
  Math.random = random
})

it.each([
  ['low', 0, 0.01],
  ['high', 0.99, 1],
] as const)('%s draws at one end about every other time', (name, least, below) => {
  shake(name)

  const draws = Array.from({ length: 1_000 }, () => Math.random())
  const atTheEnd = draws.filter((draw) => draw >= least && draw < below).length
  expect(atTheEnd).toBeGreaterThan(350)
  expect(atTheEnd).toBeLessThan(650)
})

it('refuses a name it does not know, and says which there are', () => {
  expect(() => shake('low,earthquake')).toThrow('"earthquake": it must be of low, high, stall')
})

it.each([undefined, ''])('does nothing when the variable is %o', (names) => {
  const before = Math.random

  shake(names)

  expect(Math.random).toBe(before)
})
