import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type LaneTrace, replayLane } from './lane-trace.ts'
import type { Seen } from './replay.ts'

/** Taken from a run of `npm run chaos -- --minutes 0.5 --seed 7 --keep`: relays killed and paused, a broker restarted, hand-overs. */
const recorded = JSON.parse(readFileSync(new URL('traces/lane.json', import.meta.url), 'utf8')) as readonly LaneTrace[]
/** One relay, two messages, nothing wrong. */
const quiet = recorded.find(({ key }) => key === 'key-34') as LaneTrace
/** The first message was sent twice; then the lane went to another relay, which sent the rest. */
const moved = recorded.find(({ key }) => key === 'key-15') as LaneTrace

describe('what the running relays did is a history of the model', () => {
  it.each(recorded)('$key: $messages messages, relays $relays', (trace) => {
    const { verdict, left } = replayLane(trace)

    expect({ verdict, left }).toEqual({ verdict: 'accepted', left: [] })
  })
})

const isFault = ({ step }: Seen): boolean => /crashes|paused|hands the lane over|loses|refused/.test(step)
const without = ({ seen, ...trace }: LaneTrace, isLeftOut: (one: Seen) => boolean): LaneTrace => ({
  ...trace,
  seen: seen.filter((one) => !isLeftOut(one)),
})
const changed = ({ seen, ...trace }: LaneTrace, change: (one: Seen) => Seen): LaneTrace => ({
  ...trace,
  seen: seen.map(change),
})
const exchanged: Readonly<Record<string, string>> = { 1: '2', 2: '1' }

/** The same run, told with one lie. */
const doctored: readonly [string, LaneTrace][] = [
  [
    'two messages of a key go out in the wrong order',
    changed(quiet, (one) =>
      one.step.startsWith('relay') ? { ...one, step: one.step.replace(/\d+$/, (seq) => exchanged[seq] ?? seq) } : one,
    ),
  ],
  ['a relay publishes and never had the lane', without(quiet, ({ step }) => step.endsWith('acquires the lane'))],
  [
    'a relay publishes before it has the lane',
    changed(quiet, (one) => (one.step.endsWith('acquires the lane') ? { ...one, from: 500, to: 600 } : one)),
  ],
  [
    'a message is published before its transaction commits',
    changed(quiet, (one) => (one.step.includes('commits seq 2') ? { ...one, from: 500, to: 600 } : one)),
  ],
  [
    'a message is settled before the broker has it',
    changed(quiet, (one) => (one.step.endsWith('settles 1') ? { ...one, from: 0, to: 50 } : one)),
  ],
  [
    'a message is settled that the broker refused',
    changed(quiet, (one) =>
      one.step.endsWith('publishes 1') ? { ...one, step: 'relay 1 is refused 1 by the broker' } : one,
    ),
  ],
  [
    'a message is published again although nothing was done to anybody',
    { ...quiet, seen: [...quiet.seen, { step: 'relay 1 publishes 1', from: 130, to: 160 }] },
  ],
  ['a lane goes to another relay although its owner is well', without(moved, isFault)],
  [
    'a message is sent twice and no answer was lost',
    without(moved, (one) => isFault(one) && !one.step.includes('hands')),
  ],
]

it.each(doctored)('the model refuses a run in which %s', (_, trace) => {
  const { verdict, left } = replayLane(trace)

  expect(verdict).toBe('refused')
  expect(left).not.toEqual([])
})
