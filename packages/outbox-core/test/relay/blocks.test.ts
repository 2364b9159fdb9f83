import { describe, expect, it } from 'vitest'
import { textsOf } from '../../src/postgres/array-literal.ts'
import { Blocks } from '../../src/relay/blocks.ts'
import { type ShownBlock, shownBlocks } from './shown-blocks.ts'

const lanes = [0]
const reload = (blocks: Blocks, ...rows: readonly ShownBlock[]): { lane: number; seq: number }[] =>
  blocks.reload(blocks.beginReload(), lanes, shownBlocks(...rows))
const row = (stream: string, seq: number, held = false) => ({ lane: 0, stream, seq, unread: seq, held })

describe('a blocked stream', () => {
  it('is lifted by a reload that does not show it, and read again from where it was blocked', () => {
    const blocks = new Blocks()
    reload(blocks, row('a', 7), row('b', 9, true))
    expect(textsOf(blocks.names())).toEqual(['a', 'b'])
    expect(textsOf(blocks.closed())).toEqual(['b'])

    const rewinds = reload(blocks, row('b', 9, true))

    expect(rewinds).toEqual([{ lane: 0, seq: 7 }])
    expect(blocks.has('a', 0)).toBe(false)
  })

  it('is not lifted while the statement that makes it true is under way', () => {
    const blocks = new Blocks()
    blocks.fail('a', 0, 7)

    reload(blocks)
    expect(blocks.has('a', 0)).toBe(true)

    blocks.confirm('a', 0)
    reload(blocks)
    expect(blocks.has('a', 0)).toBe(false)
  })

  it('is not lifted by a reload that began before it was confirmed', () => {
    const blocks = new Blocks()
    blocks.fail('a', 0, 7)
    const begun = blocks.beginReload()
    blocks.confirm('a', 0)

    blocks.reload(begun, lanes, [])

    expect(blocks.has('a', 0)).toBe(true)
  })

  it('of another lane is left alone, and goes with its lane', () => {
    const blocks = new Blocks()
    blocks.read('a', 1, 7)

    reload(blocks)
    expect(blocks.has('a', 1)).toBe(true)

    blocks.removeLane(1)
    expect(blocks.size).toBe(0)
  })
})

describe('held streams of a lane in which nothing else is blocked', () => {
  const held = [row('a', 0, true), row('b', 0, true)]

  it('are read again, when one is let go, from the lowest seq that a read passed it by', () => {
    const blocks = new Blocks()
    reload(blocks, ...held)
    for (const from of [9, 5, 7]) blocks.passBy(new Map([[0, from]]))

    expect(reload(blocks, row('b', 0, true))).toEqual([{ lane: 0, seq: 5 }])
    expect([blocks.has('a', 0), blocks.has('b', 0)]).toEqual([false, true])
  })

  it('are read again from where a read that was on its way left them, when no other came after', () => {
    const blocks = new Blocks()
    reload(blocks, ...held)
    expect(blocks.leave('a', 0, 3)).toBe(true)

    expect(reload(blocks)).toEqual([{ lane: 0, seq: 3 }])
  })

  it('are not read again when no read has passed them by', () => {
    const blocks = new Blocks()
    reload(blocks, ...held)
    expect(blocks.isHeld('a', 0)).toBe(true)

    expect(reload(blocks)).toEqual([])
    expect(blocks.size).toBe(0)
  })

  it('are passed by also by the reads after somebody asked for one of them', () => {
    const blocks = new Blocks()
    reload(blocks, ...held)
    blocks.passBy(new Map([[0, 5]]))
    expect(blocks.isHeld('a', 0)).toBe(true)
    for (const from of [7, 2, 8]) blocks.passBy(new Map([[0, from]]))

    expect(reload(blocks, row('b', 0, true))).toEqual([{ lane: 0, seq: 2 }])
  })

  it('are held still where another of the lane fails, and is let go', () => {
    const blocks = new Blocks()
    reload(blocks, ...held)
    blocks.fail('c', 0, 4)
    expect(textsOf(blocks.closed())).toEqual(['a', 'b', 'c'])
    blocks.confirm('c', 0)

    reload(blocks, ...held, row('c', 4))
    expect([textsOf(blocks.closed()), blocks.hasHeld]).toEqual([['a', 'b'], true])
    expect(reload(blocks, ...held)).toEqual([{ lane: 0, seq: 4 }])
    expect(textsOf(blocks.names())).toEqual(['a', 'b'])
  })

  it('are named where only some lanes are asked for', () => {
    const blocks = new Blocks()
    blocks.reload(blocks.beginReload(), [0, 1], shownBlocks(...held, { ...row('c', 0, true), lane: 1 }))

    expect([0, 1, 2].map((lane) => blocks.names([lane]))).toEqual(['{"a","b"}', '{"c"}', '{}'])
    expect(blocks.closed(['d'], [1])).toBe('{"c","d"}')
  })
})

describe('more blocked streams than a read names', () => {
  const all = Array.from({ length: 3_000 }, (_, n) => row(`o${String(n)}`, n + 1, true))
  const blocked = (): Blocks => {
    const blocks = new Blocks()
    reload(blocks, ...all)
    return blocks
  }
  /** A read that begins above `from` brings these. */
  const read = (blocks: Blocks, from: number, brought: typeof all): void => {
    blocks.passBy(new Map([[0, from]]))
    for (const { stream, seq } of brought) blocks.leave(stream, 0, seq)
  }

  it('are named where a read brought something of them, until the floor is past that', () => {
    const blocks = blocked()
    expect(textsOf(blocks.skipped())).toEqual([])

    read(blocks, 2, all.slice(1, 4))
    expect(textsOf(blocks.skipped())).toEqual(['o1', 'o2', 'o3'])

    read(blocks, 4, [])
    expect(textsOf(blocks.skipped())).toEqual(['o3'])
  })

  it('are all named while a crowd of them stands above the floor', () => {
    const blocks = blocked()

    read(blocks, 2, all.slice(1, 2_500))
    expect(textsOf(blocks.skipped())).toHaveLength(3_000)
    read(blocks, 2, [])
    expect(textsOf(blocks.skipped())).toHaveLength(3_000)

    read(blocks, 3_001, [])
    expect(textsOf(blocks.skipped())).toEqual([])
  })

  it('are all named before anything was brought where a lane is read from its bottom, as after a take-over', () => {
    const blocks = blocked()

    read(blocks, 1, [])
    expect(textsOf(blocks.skipped())).toHaveLength(3_000)

    read(blocks, 2, [])
    expect(textsOf(blocks.skipped())).toEqual([])
  })

  it('are forgotten with their lane', () => {
    const blocks = blocked()
    read(blocks, 2, all.slice(1, 2_500))

    blocks.removeLane(0)
    reload(blocks, ...all)

    expect(textsOf(blocks.skipped())).toEqual([])
  })
})
