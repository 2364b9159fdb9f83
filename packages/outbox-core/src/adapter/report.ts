/** Gives a function that never throws: an observer's mistake must not stop messages. The first one becomes a process warning. */
export function reportTo<Event>(onEvent: ((event: Event) => void) | undefined): (event: Event) => void {
  if (onEvent === undefined) return () => {}
  let warned = false
  return (event) => {
    try {
      onEvent(event)
    } catch (error) {
      if (warned) return
      warned = true
      process.emitWarning(
        `an onEvent callback threw and was ignored (reported once): ${String(error)}`,
        'MaloteWarning',
      )
    }
  }
}
