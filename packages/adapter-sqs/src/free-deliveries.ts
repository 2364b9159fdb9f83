/**
 * Deliveries that SQS counted but that spend no attempt: given back unhandled behind a failed message, or of a type not known yet.
 * Kept by this process only: another consumer of the queue sees SQS's own count.
 */
export interface FreeDeliveries {
  add(messageId: string): void
  /** Attempts spent, this delivery included, from SQS's count of deliveries. */
  attemptOf(messageId: string, receiveCount: number): number
  forget(messageId: string): void
}

export function createFreeDeliveries(maxRemembered = 10_000): FreeDeliveries {
  const counts = new Map<string, number>()
  return {
    add: (messageId) => {
      const count = (counts.get(messageId) ?? 0) + 1
      counts.delete(messageId) // The one touched last is forgotten last.
      counts.set(messageId, count)
      const oldest = counts.keys().next()
      if (counts.size > maxRemembered && oldest.done !== true) counts.delete(oldest.value)
    },
    attemptOf: (messageId, receiveCount) => Math.max(1, receiveCount - (counts.get(messageId) ?? 0)),
    forget: (messageId) => void counts.delete(messageId),
  }
}
