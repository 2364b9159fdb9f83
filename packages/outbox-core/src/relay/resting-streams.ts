/**
 * Streams whose first waiting message is not due, while more waits than one look takes in: they leave their places in it to others. Pure.
 *
 * Invariant: a stream rests until a look took in all that waits, or the blocks are loaded anew, whichever comes first. So whatever makes
 * its first message due, the stream is looked at again.
 */
export class RestingStreams {
  readonly #streams = new Set<string>()

  /** A look found these. @param isPartial - more waits than it took in */
  found(streams: readonly string[], isPartial: boolean): void {
    if (!isPartial) this.wake()
    else for (const stream of streams) this.#streams.add(stream)
  }

  wake(): void {
    this.#streams.clear()
  }

  names(): Iterable<string> {
    return this.#streams
  }
}
