import { monotonicMs, pause } from './clock.ts'

/** How tries of one thing are spaced: each pause may be twice as long as the one before. */
export interface Spacing {
  /** The first pause at its longest, in milliseconds. Half of any pause is drawn, so that those who met do not meet again. */
  readonly firstMs: number
  /** No pause is longer. @defaultValue they go on doubling */
  readonly longestMs?: number
  /** How many pauses there are. @defaultValue until `totalMs` is over */
  readonly pauses?: number
  /** When the last pause ends, in milliseconds from now. @defaultValue after `pauses` */
  readonly totalMs?: number
}

/** @returns what waits until the next try is due and resolves to true; to false, at once, when there is none */
export function spaceTries({
  firstMs,
  longestMs = Infinity,
  pauses = Infinity,
  totalMs = Infinity,
}: Spacing): () => Promise<boolean> {
  const endMs = monotonicMs() + totalMs
  let taken = 0
  return async function nextTry(): Promise<boolean> {
    const leftMs = endMs - monotonicMs()
    if (leftMs <= 0 || taken === pauses) return false
    const ms = (0.5 + Math.random() / 2) * Math.min(longestMs, firstMs * 2 ** taken++)
    await pause(Math.min(leftMs, ms))
    return true
  }
}

/** Tries `work` again as long as what it fails with may pass. @throws what it has failed with last */
export async function retry<Result>(
  work: () => Promise<Result>,
  mayPass: (error: unknown) => boolean,
  spacing: Spacing,
): Promise<Result> {
  const nextTry = spaceTries(spacing)
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!mayPass(error) || !(await nextTry())) throw error
    }
  }
}
