import { patience } from './patience.ts'
import { systemClock } from '../clock.ts'

/** The member of an event union whose `type` is, or includes, `Type`. */
export type EventOf<Event extends { readonly type: string }, Type extends string> = Event extends unknown
  ? Type extends Event['type']
    ? Event & { readonly type: Type }
    : never
  : never

/** Keeps events and lets a test wait for one instead of sleeping. Give `onEvent` to a relay or a consumer. */
export interface RecordingObserver<Event extends { readonly type: string }> {
  readonly events: readonly Event[]
  readonly onEvent: (event: Event) => void
  /**
   * Resolves with the first event of the type that matches, past ones included.
   *
   * @throws Error after `timeoutMs` (default 10_000) times `MALOTE_PATIENCE`, as `eventually` counts, listing the types seen
   */
  waitFor<Type extends Event['type']>(
    type: Type,
    matches?: (event: EventOf<Event, Type>) => boolean,
    timeoutMs?: number,
  ): Promise<EventOf<Event, Type>>
  /** All events of the type so far. */
  of<Type extends Event['type']>(type: Type): EventOf<Event, Type>[]
  /** Forgets the past. */
  clear(): void
}

/** Makes an observer that keeps every event, for tests that wait for one instead of sleeping. Hand its `onEvent` over. */
export function createRecordingObserver<Event extends { readonly type: string }>(): RecordingObserver<Event> {
  type Of<Type extends Event['type']> = EventOf<Event, Type>
  const events: Event[] = []
  const listeners = new Set<(event: Event) => void>()

  function waitFor<Type extends Event['type']>(
    type: Type,
    matches: (event: Of<Type>) => boolean = () => true,
    timeoutMs = 10_000,
  ): Promise<Of<Type>> {
    const isWanted = (event: Event): event is Of<Type> => event.type === type && matches(event as Of<Type>)
    const past = events.find(isWanted)
    if (past !== undefined) return Promise.resolve(past)
    const patienceMs = Math.round(timeoutMs * patience())
    return new Promise((resolve, reject) => {
      const cancel = systemClock.after(patienceMs, () => {
        listeners.delete(listener)
        reject(new Error(`no event "${type}" within ${String(patienceMs)} ms; seen: ${summary(events)}`))
      })
      const listener = (event: Event): void => {
        if (!isWanted(event)) return
        cancel()
        listeners.delete(listener)
        resolve(event)
      }
      listeners.add(listener)
    })
  }

  return {
    events,
    waitFor,
    of: <Type extends Event['type']>(type: Type) => events.filter((event): event is Of<Type> => event.type === type),
    clear: () => {
      events.length = 0
    },
    onEvent: (event) => {
      events.push(event)
      for (const listener of listeners) listener(event)
    },
  }
}

function summary(events: readonly { readonly type: string }[]): string {
  const counts = new Map<string, number>()
  for (const { type } of events) counts.set(type, (counts.get(type) ?? 0) + 1)
  return [...counts].map(([type, count]) => `${type} ×${String(count)}`).join(', ') || 'none'
}
