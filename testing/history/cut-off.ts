import { described, type Violation, violation } from './violation.ts'
import type { Committed, CutOffClaim, History } from './history.ts'

/**
 * A cut-off that says it is complete: every message whose transaction had begun before it was asked for was at the broker when it
 * answered, but for as many dead ones as it named, and as many that wait for an operator.
 */
export function cutOffViolations({ cutOffs, committed, publications, deadLetters }: History): Violation[] {
  const acceptedAtMs = new Map<string, number>()
  for (const { id, answer, answeredAtMs } of publications)
    if (answer === 'accepted' && answeredAtMs !== null)
      acceptedAtMs.set(id, Math.min(answeredAtMs, acceptedAtMs.get(id) ?? Number.POSITIVE_INFINITY))
  const dead = new Set(deadLetters.map(({ id }) => id))

  return cutOffs
    .filter(({ isComplete }) => isComplete)
    .flatMap((claim) => {
      const isMissing = ({ id, begunAtMs }: Committed): boolean =>
        begunAtMs !== null &&
        begunAtMs < claim.askedAtMs &&
        (acceptedAtMs.get(id) ?? Number.POSITIVE_INFINITY) > claim.answeredAtMs
      const missing = committed.filter(isMissing)
      const unnamed = missing.filter(({ id }) => !dead.has(id))
      // What was dead when it was named may have been replayed since; what waited for an operator may have died.
      const isStopped = claim.stopped !== undefined && missing.length <= claim.dead + claim.stopped
      const early = isStopped
        ? []
        : unnamed.map((message) => tooEarly(claim, `${described(message)} ${accepted(message)}`))
      const silent = isStopped ? 0 : missing.length - unnamed.length - claim.dead
      return silent > 0 ? [...early, tooEarly(claim, `${String(silent)} more were dead than it named`)] : early
    })

  function accepted({ id, begunAtMs }: Committed): string {
    const atMs = acceptedAtMs.get(id)
    const when = atMs === undefined ? 'never accepted' : `accepted at ${String(Math.round(atMs))}`
    return `begun at ${String(Math.round(begunAtMs ?? 0))} was ${when}`
  }
}

const tooEarly = ({ askedAtMs, answeredAtMs }: CutOffClaim, what: string): Violation =>
  violation(
    'cut-off-too-early',
    `asked at ${String(Math.round(askedAtMs))}, complete at ${String(Math.round(answeredAtMs))}: ${what}`,
  )
