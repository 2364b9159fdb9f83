import type { Clock } from '../clock.ts'

/** An answer that many may ask for, and that is fetched seldom. */
export interface Sparing<Answer> {
  get(): Promise<Answer>
  /** What is known is no longer true. */
  forget(): void
}

/** Runs one piece of work after the other. */
export type InTurn = <Value>(work: () => Promise<Value>) => Promise<Value>

export function createTurns(): InTurn {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = last.then(work)
    last = mine.catch(() => {}) // Whoever asked is told.
    return mine
  }
}

/** An answer may take a tenth of the time at most: nine parts of rest to one of work. */
const restFactor = 9

/**
 * Asks once at a time, however many want to know; never when nobody does. Everyone gets the answer under way, or the last one
 * until `restMs` have passed, or nine times as long as it took. A failure counts as an answer: a database that is away is not
 * besieged.
 */
export function sparing<Answer>(
  ask: () => Promise<Answer>,
  { restMs, clock, inTurn }: { readonly restMs: number; readonly clock: Clock; readonly inTurn: InTurn },
): Sparing<Answer> {
  let answer: Promise<Answer> | undefined
  let freshUntilMs = 0
  let isForgotten = false
  const measured = async (): Promise<Answer> => {
    const startedMs = clock.monotonicMs()
    isForgotten = false
    try {
      return await ask()
    } finally {
      const nowMs = clock.monotonicMs()
      freshUntilMs = isForgotten ? 0 : nowMs + Math.max(restMs, restFactor * (nowMs - startedMs))
    }
  }
  const start = (): Promise<Answer> => {
    freshUntilMs = Infinity
    return inTurn(measured)
  }
  return {
    get: () => (answer !== undefined && clock.monotonicMs() < freshUntilMs ? answer : (answer = start())),
    forget: () => {
      isForgotten = true
      if (freshUntilMs !== Infinity) freshUntilMs = 0
    },
  }
}
