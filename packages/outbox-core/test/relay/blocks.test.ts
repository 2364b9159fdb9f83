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
