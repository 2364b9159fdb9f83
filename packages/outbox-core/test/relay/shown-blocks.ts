import { arrayLiteral, elements } from '../../src/postgres/array-literal.ts'
import type { BlocksOfLane, WaitingStream } from '../../src/postgres/lane-reads.ts'

export interface ShownBlock extends WaitingStream {
  readonly lane: number
  readonly held?: boolean
}

/** Blocked streams as a query shows them, by lane. */
export function shownBlocks(...blocks: readonly ShownBlock[]): readonly BlocksOfLane[] {
  return [...new Set(blocks.map(({ lane }) => lane))].map((lane) => {
    const of = blocks.filter((block) => block.lane === lane)
    const held = of.filter((block) => block.held === true).map(({ stream }) => stream)
    const waiting = of.filter((block) => block.held !== true)
    return { lane, waiting, held: { names: arrayLiteral([elements(held)]), count: held.length } }
  })
}
