import type { Publisher } from '../../src/publisher.ts'
import { Backlog } from '../../src/relay/backlog.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { Dispatcher, type DispatcherParts } from '../../src/relay/dispatcher.ts'
import { createFloor } from '../../src/relay/floor.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import type { RelayOptions } from '../../src/relay/relay-options.ts'
import { resolveRelayOptions } from '../../src/relay/resolved-options.ts'
import type { RelayEvent } from '../../src/events.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'

export interface TestDispatcher {
  readonly dispatcher: Dispatcher
  readonly backlog: Backlog
  readonly lanes: Lanes
  readonly clock: ManualClock
  readonly events: RelayEvent[]
  /** Adds the messages and starts what may start. */
  readonly arrive: (...messages: BufferedMessage[]) => void
  /** Lets what is under way in this process go as far as it comes. */
  readonly turn: () => Promise<void>
}

/** A dispatcher on a manual clock that owns lane 0; nothing is written to a database. */
export function aDispatcher(
  publish: Publisher['publish'],
  parts: Partial<DispatcherParts> = {},
  changes: Partial<RelayOptions> = {},
): TestDispatcher {
  const [clock, lanes, events]: [ManualClock, Lanes, RelayEvent[]] = [createManualClock(), new Lanes(), []]
  const publisher: Publisher = { name: 'test', publish, close: () => Promise.resolve() }
  const pool = { connect: () => Promise.reject(new Error('not used')) }
  const onEvent = (event: RelayEvent): void => void events.push(event)
  const pauses = { outageBackoff: () => 100, destinationBackoff: () => 100 }
  const options = resolveRelayOptions({ pool, publisher, clock, onEvent, ...pauses, ...changes })
  const backlog = new Backlog(lanes, createFloor(1_000), options.routes.of)
  const settler = { published: backlog.settled.bind(backlog), retry: () => {}, bury: () => {} }
  const trial = { begin: () => Promise.resolve(true), end: () => Promise.resolve() }
  const dispatcher = new Dispatcher({
    options,
    backlog,
    settler,
    trial,
    isTrusted: () => true,
    onProgress: () => {},
    onReadable: () => {},
    ...parts,
  })
  lanes.add(0, 1)
  for (const lane of lanes.all()) lane.isReady = true
  return {
    dispatcher,
    backlog,
    lanes,
    clock,
    events,
    arrive: (...messages) => {
      for (const message of messages) backlog.add(message)
      dispatcher.pump()
    },
    turn: () => new Promise((resolve) => setImmediate(resolve)),
  }
}
