/** What the claim of a key, or of messages, has answered. */
export interface ClaimAnswer {
  /** Whether all that was asked for is claimed. */
  readonly isClaimed: boolean
  /** The number of the transaction, by which PostgreSQL knows later what became of it. Undefined when nothing was claimed. */
  readonly transaction: string | undefined
  /** A word, or JSON that says what there is instead. */
  readonly text: string
}

const isNumber = /^\d+$/

/**
 * A procedure, which is for one, says the number alone; a function, which is for many, says `word` and the number beside it. One value, for a
 * table costs more to hand over than all the rest.
 */
export function claimAnswer(row: Record<string, unknown> | undefined, word: 'claimed' | 'new'): ClaimAnswer {
  const text = String(row?.['claimed'])
  if (isNumber.test(text)) return { isClaimed: true, transaction: text, text }
  const transaction = (row?.['transaction'] as string | null | undefined) ?? undefined
  return { isClaimed: text === word, transaction, text }
}
