/**
 * Streams of which a query that is on its way may show the second message as the first. Pure.
 *
 * A query for what waits, or for what a destination is tried with, leaves out what is in memory. If that goes back to the table, or
 * fails, before the query has answered, it stands before what the query saw.
 *
 * Invariant: nothing is taken from an answer of whose stream something left memory since the query was sent.
 */
export class StaleStreams {
  /** Null while no query is on its way. */
  #streams: Set<string> | null = null

  /** Call before the query is sent. */
  begin(): void {
    this.#streams = new Set()
  }

  /** It is decided what becomes of the answer. */
  end(): void {
    this.#streams = null
  }

  /** Something of the stream goes back to the table, or failed. */
  note(stream: string): void {
    this.#streams?.add(stream)
  }

  has(stream: string | null): boolean {
    return stream !== null && this.#streams?.has(stream) === true
  }
}
