/** `AbortSignal.any` keeps every signal it made for as long as its sources live, which is as long as the consumer runs. */
export function linked(...sources: readonly AbortSignal[]): { readonly signal: AbortSignal; unlink(): void } {
  const either = new AbortController()
  const onAbort = (): void => either.abort()
  if (sources.some((source) => source.aborted)) either.abort()
  for (const source of sources) source.addEventListener('abort', onAbort)
  return {
    signal: either.signal,
    unlink: () => {
      for (const source of sources) source.removeEventListener('abort', onAbort)
    },
  }
}
