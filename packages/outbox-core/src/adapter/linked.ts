import { onAbort } from './on-abort.ts'

/** `AbortSignal.any` keeps every signal it made for as long as its sources live, which is as long as the consumer runs. */
export function linked(...sources: readonly AbortSignal[]): { readonly signal: AbortSignal; unlink(): void } {
  const either = new AbortController()
  const abort = (): void => either.abort()
  if (sources.some((source) => source.aborted)) either.abort()
  const unlinks = sources.map((source) => onAbort(source, abort))
  return {
    signal: either.signal,
    unlink: () => {
      for (const unlink of unlinks) unlink()
    },
  }
}
