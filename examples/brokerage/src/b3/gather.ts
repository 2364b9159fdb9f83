import type { Writable } from 'node:stream'

const gathering = new WeakSet<Writable>()

/**
 * Call it before something is written: what else is written to the stream in this turn of the event loop leaves with it, in one
 * system call and not in one each. On one connection with many requests under way, those calls are half of what a request costs.
 */
export function gather(stream: Writable): void {
  if (gathering.has(stream)) return
  gathering.add(stream)
  stream.cork()
  setImmediate(() => {
    gathering.delete(stream)
    stream.uncork()
  })
}
