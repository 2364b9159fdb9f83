import type { BufferedMessage } from './buffered-message.ts'

/** A publish under way. */
export interface Flight {
  readonly items: readonly BufferedMessage[]
  readonly topics: ReadonlySet<string>
  /** All its topics take this one. */
  readonly route: string
  readonly controller: AbortController
  readonly startMs: number
  /** The destination it tries, or null. */
  readonly probed: string | null
  /** Batches of the route that had passed when it began. */
  readonly passesAtStart: number
  /** It hangs, and gave its place to others. */
  isSlow: boolean
}

export function topicsOf(messages: readonly BufferedMessage[]): Set<string> {
  const topics = new Set<string>()
  for (const { message } of messages) topics.add(message.topic)
  return topics
}
