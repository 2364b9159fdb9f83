/** Gives a function that never throws: an observer's mistake must not stop messages. The first one becomes a process warning. */
export function reportTo<Event>(onEvent: ((event: Event) => void) | undefined): (event: Event) => void {
  if (onEvent === undefined) return () => {}
  let warned = false
  const failed = (error: unknown): void => {
    if (warned) return
    warned = true
    process.emitWarning(
      `an onEvent callback failed and was ignored (reported once): ${error instanceof Error ? error.message : typeof error}`,
      'MaloteWarning',
    )
  }
  return (event) => {
    try {
      const returned: unknown = onEvent(event)
      // An async callback: nobody waits for it, but its rejection would end the process.
      if (returned instanceof Promise) returned.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
