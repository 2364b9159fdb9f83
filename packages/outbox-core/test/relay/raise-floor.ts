import { expect } from 'vitest'
import type { Floor } from '../../src/relay/floor.ts'

/** As a complete read of lane 0 does that began after a look at the locks which found no writer. */
export function raiseFloor(floor: Floor, drawn: number): void {
  floor.noteBarrier({ drawn, holders: [] })
  floor.noteBarrier({ drawn, holders: [] })
  floor.beginRead()
  floor.finishRead([0], () => Number.POSITIVE_INFINITY)
  expect(floor.of(0)).toBe(drawn)
}
