import { isRefused } from '../postgres/queryable.ts'
import type { UnstorableStatements } from '../postgres/unstorable-statements.ts'
import type { Connection } from './connections.ts'

/** A message became a dead letter because PostgreSQL refuses to store it where it belongs. */
export interface Unstorable {
  readonly id: string
  readonly topic: string
  readonly attempt: number
  readonly reason: 'PERMANENT' | 'POISON'
  readonly isKeyHeld: boolean
}

export interface ScheduledParts {
  readonly connection: Connection
  readonly statements: UnstorableStatements & { readonly moveScheduled: string }
  readonly channel: string
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
    const { connection, statements, channel } = this.#parts
    const limit = this.#limit
    try {
      const { rows } = await connection.query(statements.moveScheduled, [limit, channel])
      this.#limit = Math.min(maxMoved, limit * 2)
      return rows[0]?.['moved'] === limit
    } catch (error) {
      if (!isRefused(error)) throw error
      if (limit === 1) await this.#buryFirst()
      this.#limit = Math.max(1, limit >> 2) // Those before the culprit move meanwhile.
      return true
    }
  }

  async #buryFirst(): Promise<void> {
    const { connection, statements, channel, afterDeadLetter, onUnstorable } = this.#parts
    const { rows } = await connection.query(statements.firstDue)
    const topic = rows[0]?.['topic'] as string | undefined
    if (topic === undefined) return
    await buryUnstorable(
      (isHeld) => connection.query(statements.buryFirstDue, [channel, topic, isHeld, words]),
      afterDeadLetter(topic) === 'hold',
      onUnstorable,
    )
  }
}

/** Runs a statement that buries one message. Without holding its key when no index takes that. */
export async function buryUnstorable(
  bury: (isHeld: boolean) => ReturnType<Connection['query']>,
  isHeld: boolean,
  onUnstorable: ScheduledParts['onUnstorable'],
): Promise<void> {
  const { rows } = await bury(isHeld).catch((error: unknown) => {
    if (!isHeld || !isRefused(error)) throw error
    return bury(false)
  })
  for (const { id, topic, attempts, reason, held } of rows)
    onUnstorable({
      id: String(id),
      topic: String(topic),
      attempt: Number(attempts),
      reason: reason === 'POISON' ? 'POISON' : 'PERMANENT',
      isKeyHeld: held === true,
    })
}
