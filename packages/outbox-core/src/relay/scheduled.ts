import { isRefused } from '../postgres/queryable.ts'
import type { MoveScheduled } from '../postgres/scheduled.ts'
import type { BuriedRow, UnstorableQueries } from '../postgres/unstorable.ts'

/** A message became a dead letter because PostgreSQL refuses to store it where it belongs. */
export interface Unstorable {
  readonly id: string
  readonly topic: string
  readonly attempt: number
  readonly reason: 'PERMANENT' | 'POISON'
  readonly isKeyHeld: boolean
}

export interface ScheduledParts {
  readonly move: MoveScheduled
  readonly unstorable: Pick<UnstorableQueries, 'firstDue' | 'buryFirstDue'>
  readonly afterDeadLetter: (topic: string) => 'hold' | 'skip'
  readonly onUnstorable: (unstorable: Unstorable) => void
}

/** Messages moved in one transaction: bounded, because it holds the floor down meanwhile. */
const maxMoved = 1_000

const words =
  'it was due, and PostgreSQL refused to store it among the messages: it breaks a rule of theirs that came after it'

/** Moves messages for later among the ready ones when they are due. One that cannot be stored there keeps no other back. */
export class Scheduled {
  readonly #parts: ScheduledParts
  #limit = maxMoved

  constructor(parts: ScheduledParts) {
    this.#parts = parts
  }

  /** @returns whether there may be more */
  async move(): Promise<boolean> {
    const limit = this.#limit
    try {
      const moved = await this.#parts.move(limit)
      this.#limit = Math.min(maxMoved, limit * 2)
      return moved === limit
    } catch (error) {
      if (!isRefused(error)) throw error
      if (limit === 1) await this.#buryFirst()
      this.#limit = Math.max(1, limit >> 2) // Those before the culprit move meanwhile.
      return true
    }
  }

  async #buryFirst(): Promise<void> {
    const { unstorable, afterDeadLetter, onUnstorable } = this.#parts
    const topic = await unstorable.firstDue()
    if (topic === undefined) return
    await buryUnstorable(
      (isKeyHeld) => unstorable.buryFirstDue({ topic, isKeyHeld, words }),
      afterDeadLetter(topic) === 'hold',
      onUnstorable,
    )
  }
}

/** Runs a statement that buries one message. Without holding its key when no index takes that. */
export async function buryUnstorable(
  bury: (isKeyHeld: boolean) => Promise<readonly BuriedRow[]>,
  isHeld: boolean,
  onUnstorable: ScheduledParts['onUnstorable'],
): Promise<void> {
  const rows = await bury(isHeld).catch((error: unknown) => {
    if (!isHeld || !isRefused(error)) throw error
    return bury(false)
  })
  for (const { attempts, held, ...letter } of rows) onUnstorable({ ...letter, attempt: attempts, isKeyHeld: held })
}
