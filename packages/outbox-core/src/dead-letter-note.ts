import type { DeadLetterReason } from './dead-letter-reason.ts'

/** Header of a dead letter, the same on every broker: JSON of a `DeadLetterNote`. */
export const deadLetterHeader = 'malote-dead-letter'

/** Why a message is a dead letter, and where it came from. */
export interface DeadLetterNote {
  readonly reason: DeadLetterReason
  /** Attempts spent on the message. */
  readonly attempts: number
  /** The last error's name and words, shortened. */
  readonly error: string
  /** Queue or Kafka topic the message was in. */
  readonly source: string
  /** The message's topic, which moving the message may change on the wire. */
  readonly topic: string
  /** Where in the source the message was: partition and offset on Kafka, the broker's own message id elsewhere. */
  readonly position?: string
  /** When the note was written, by the consumer's clock. ISO 8601. */
  readonly at: string
  /** What had to be left out so that the letter fits: `headers`, or `headers` and `body`. The note then points to the original. */
  readonly omitted?: readonly ('headers' | 'body')[]
}

/** Longest note in bytes: what publishers keep free for it. */
export const maxNoteBytes = 900

/** ASCII only, so that every broker carries it, and never longer than `maxNoteBytes`: the error's words give way. */
export function encodeDeadLetterNote(note: DeadLetterNote): string {
  for (let length = 300; ; length = Math.floor(length / 2)) {
    const json = asciiJson({ ...note, error: note.error.slice(0, length).toWellFormed() })
    if (json.length <= maxNoteBytes || length === 0) return json
  }
}

/** What the consumer wrote on a dead letter, or null when the headers carry no note of ours. */
export function readDeadLetterNote(headers: Readonly<Record<string, string>>): DeadLetterNote | null {
  const json = headers[deadLetterHeader]
  if (json === undefined) return null
  try {
    const note: unknown = JSON.parse(json)
    return note !== null && typeof note === 'object' && 'reason' in note ? (note as DeadLetterNote) : null
  } catch {
    return null // Somebody else's header of this name.
  }
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[^\u0020-\u007e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
