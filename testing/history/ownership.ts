import { type Violation, violation } from './violation.ts'
import type { History, OwnershipChange } from './history.ts'

/** Fence of the note that somebody emptied the table of lanes: fences begin again, for relays that are all new. */
export const emptiedFence = -1

/** A lane passes from an owner to nobody and from nobody to an owner, and every new owner has a higher fence. */
export function ownershipViolations(history: History): Violation[] {
  const byLane = Map.groupBy(history.ownerships, ({ lane }) => lane)
  return [...byLane.values()].flatMap((changes) => {
    let fence = -1
    let owner: string | null = null
    return changes.flatMap((change) => {
      const stolen = change.to !== null && owner !== null
      const unfenced = change.to !== null && change.fence <= fence
      owner = change.to
      fence = change.fence === emptiedFence ? emptiedFence : Math.max(fence, change.fence)
      return stolen || unfenced
        ? [violation('two-owners', told(change, stolen ? 'had an owner' : 'kept its fence'))]
        : []
    })
  })
}

const told = ({ lane, from, to, fence, atMs }: OwnershipChange, why: string): string =>
  `lane ${String(lane)} went from ${from ?? 'nobody'} to ${to ?? 'nobody'} with fence ${String(fence)} at ${String(Math.round(atMs))}, but it ${why}`
