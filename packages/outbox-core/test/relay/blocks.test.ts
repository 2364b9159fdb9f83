import { describe, expect, it } from 'vitest'
import { Blocks } from '../../src/relay/blocks.ts'

const lanes = new Set([0])
const row = (order: string, seq: number, held = false) => ({ lane: 0, order, seq, held })

describe('a blocked order', () => {
  it('is lifted by a reload that does not show it, and read again from where it was blocked', () => {
    const blocks = new Blocks()
    blocks.reload(blocks.beginReload(), lanes, [row('a', 7), row('b', 9, true)])
    expect(blocks.orders()).toEqual(['a', 'b'])
    expect(blocks.heldOrders()).toEqual(['b'])

    const { rewinds } = blocks.reload(blocks.beginReload(), lanes, [row('b', 9, true)])

    expect(rewinds).toEqual([{ lane: 0, seq: 7 }])
    expect(blocks.has('a')).toBe(false)
  })

  it('is not lifted while the statement that makes it true is under way', () => {
    const blocks = new Blocks()
    blocks.block('a', 0, 7, { pending: true })

    blocks.reload(blocks.beginReload(), lanes, [])
    expect(blocks.has('a')).toBe(true)

    blocks.confirm('a')
    blocks.reload(blocks.beginReload(), lanes, [])
    expect(blocks.has('a')).toBe(false)
  })

  it('is not lifted by a reload that began before it was confirmed', () => {
    const blocks = new Blocks()
    blocks.block('a', 0, 7, { pending: true })
    const begun = blocks.beginReload()
    blocks.confirm('a')

    blocks.reload(begun, lanes, [])

    expect(blocks.has('a')).toBe(true)
  })

  it('found in the database is named, so that what is buffered of it can be dropped', () => {
    const blocks = new Blocks()
    blocks.block('a', 0, 7, { pending: false })

    const { blocked } = blocks.reload(blocks.beginReload(), lanes, [row('a', 7), row('b', 9)])

    expect(blocked).toEqual(['b'])
  })

  it('of another lane is left alone, and goes with its lane', () => {
    const blocks = new Blocks()
    blocks.block('a', 1, 7, { pending: false })

    blocks.reload(blocks.beginReload(), lanes, [])
    expect(blocks.has('a')).toBe(true)

    blocks.removeLane(1)
    expect(blocks.size).toBe(0)
  })
})
