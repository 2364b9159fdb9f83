import { describe, expect, it, vi } from 'vitest'
import type { Committed, Fault, History, Publication } from '../../history/history.ts'
import { chaosArguments } from '../arguments.ts'
import { heldNobody, ignoredOperators } from '../operator-faults.ts'
import { onlyByName } from '../plan.ts'
import { poolsNotHeld } from '../shortage-faults.ts'
import { kindsDone, kindsNotRun } from '../surroundings.ts'

const fault = (kind: string, more: Partial<Fault> = {}): Fault => ({
  kind,
  relay: null,
  startedAtMs: 20_000,
  endedAtMs: 25_000,
  healsFromMs: 25_000,
  lanes: [],
  ...more,
})
const message = (id: string, key: string, atMs: number): Committed => ({
  id,
  key,
  place: 1,
  lane: 0,
  atMs,
  begunAtMs: atMs,
  isDoomed: false,
  isRefused: false,
})
const sent = (id: string, startedAtMs: number, answer: Publication['answer'] = 'accepted'): Publication => ({
  id,
  relay: 'relay-1.1',
  startedAtMs,
  answer,
  answeredAtMs: startedAtMs + 1,
  settledAtMs: startedAtMs + 2,
})
const history = (publications: readonly Publication[], faults = [fault('pause-topic')]): History =>
  ({
    faults,
    publications,
    committed: [message('a', 'key-1', 21_000), message('c', 'curable-1', 1)],
  }) as unknown as History

describe('a fault that did nothing is named', () => {
  it.each([
    ['what comes after the pause', [sent('a', 25_100)], 0],
    ['what was sent before relays had heard of it', [sent('a', 21_500)], 0],
    ['what was sent in the middle of it', [sent('a', 23_000)], 1],
  ])('a paused topic: %s', (_, publications, ignored) => {
    expect(ignoredOperators(history(publications), false)).toHaveLength(ignored)
  })

  it('a paused topic beside another fault tells nothing', () => {
    const faults = [fault('pause-topic'), fault('partition-database')]

    expect(ignoredOperators(history([sent('a', 23_000)], faults), false)).toEqual([])
  })

  it.each([
    ['of which something stayed', ['a', 'b'], ['b', 'c'], undefined],
    ['of which nothing waited', [], ['c'], 'nothing of key-1 waited'],
    ['of which all that waited went out', ['a', 'b'], ['c'], '2 of key-1 went out all the same'],
  ])('a key held by hand, %s', (_, held, left, named) => {
    expect(heldNobody('key-1', held, left)).toBe(named)
  })

  it('a run in which nothing that had died came through', () => {
    expect(ignoredOperators(history([sent('c', 1, 'refused')], []), true)).toHaveLength(1)
    expect(ignoredOperators(history([sent('c', 1, 'refused'), sent('c', 9)], []), true)).toEqual([])
  })

  it.each([
    [1, 1],
    [6, 0],
  ])('a pool of which %i connections were held', (held, named) => {
    const faults = [fault('exhaust-pool', { relay: 'relay-1.1' })]
    const journals = new Map([['relay-1.1', [{ what: 'pool-held', held, atMs: 24_000 } as const]]])

    expect(poolsNotHeld(faults, journals)).toHaveLength(named)
  })
})

describe('a fault that cannot be done here', () => {
  it('is named with the reason, without root', () => {
    vi.spyOn(process, 'getuid').mockReturnValue(1_000)

    const notRun = kindsNotRun({ kinds: ['partition-broker', 'kill-relay'], broker: 'sqs' })

    expect(notRun).toEqual({ 'partition-broker': 'only root can make network namespaces' })
  })

  it('is skipped by name on a broker that has no such thing, and lacks nothing of this machine', () => {
    const asked = { kinds: ['broker-disk-full', 'kill-relay'], broker: 'sqs' } as const

    expect(kindsNotRun(asked)).toEqual({})
    expect(kindsDone(asked)).toEqual({
      kinds: ['kill-relay'],
      leftOut: ['SKIPPED broker-disk-full: sqs has no disk of its own that could be full'],
    })
  })

  it('is not drawn by a run that asks for no fault by name', () => {
    const { kinds } = chaosArguments([], () => {})

    expect(kinds.filter((kind) => onlyByName.includes(kind))).toEqual([])
  })
})
