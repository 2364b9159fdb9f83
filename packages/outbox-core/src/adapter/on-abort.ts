const listening = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Calls back when the signal aborts; not when it has aborted already. However many wait for one signal it has one listener: adding and
 * removing one for every message costs more than most of what else is done for it.
 *
 * @param callback - called once, and must not throw
 * @returns waits no more. Nothing of a caller who has said so is kept, however long the signal lives
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const waiting = listening.get(signal) ?? listen(signal)
  // A function of its own for each caller: two may give the same one.
  const call = (): void => callback()
  waiting.add(call)
  return () => {
    waiting.delete(call)
  }
}

function listen(signal: AbortSignal): Set<() => void> {
  const waiting = new Set<() => void>()
  listening.set(signal, waiting)
  signal.addEventListener(
    'abort',
    () => {
      listening.delete(signal)
      for (const call of waiting) call()
      waiting.clear()
    },
    { once: true },
  )
  return waiting
}
