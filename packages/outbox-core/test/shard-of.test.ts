import { describe, expect, it } from 'vitest'
import { shardOf } from '../src/index.ts'

describe('a shard', () => {
  it('is the same for a key in every version', () => {
    expect(['account-1', 'account-2', '', 'é\u{1f600}'].map((key) => shardOf(key, 16))).toMatchInlineSnapshot(`
      [
        1,
        8,
        2,
        6,
      ]
    `)
  })

  it('gets its share of the keys, and messages without one go anywhere', () => {
    const counts = [0, 0, 0, 0]
    for (let key = 0; key < 4_000; key++) counts[shardOf(`key-${String(key)}`, 4)]!++
    expect(Math.min(...counts)).toBeGreaterThan(900)
    expect(new Set(Array.from({ length: 200 }, () => shardOf(null, 4))).size).toBe(4)
  })

  it('refuses a number that is none', () => {
    expect(() => shardOf('k', 0)).toThrow(/shards/)
    expect(() => shardOf('k', 1.5)).toThrow(/shards/)
  })
})
