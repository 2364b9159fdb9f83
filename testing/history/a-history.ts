import { checkHistory, type Rule } from './check-history.ts'
import type { Committed, Fault, History, OwnershipChange, Publication } from './history.ts'

export const aMessage = (id: string, change: Partial<Committed> = {}): Committed => ({
  id,
  key: 'k',
  place: Number(id.slice(1)),
  lane: 7,
  atMs: 0,
  begunAtMs: 0,
  isDoomed: false,
  isRefused: false,
  ...change,
})
export const published = (id: string, change: Partial<Publication> = {}): Publication => ({
  id,
  relay: 'r1',
  startedAtMs: 1_000,
  answer: 'accepted',
  answeredAtMs: 1_090,
  settledAtMs: 1_100,
  ...change,
})
export const owner = (to: string | null, atMs: number, fence: number, from: string | null = null): OwnershipChange => ({
  lane: 7,
  from,
  to,
  by: to ?? from ?? '',
  fence,
  atMs,
})
export const killed: Fault = {
  kind: 'kill-relay',
  relay: 'r1',
  startedAtMs: 1_050,
  endedAtMs: 1_050,
  healsFromMs: 1_050,
  lanes: [7],
}

/** Two messages of one key, published, applied once: nothing to complain about. */
export const sound: History = {
  committed: [aMessage('m1'), aMessage('m2')],
  publications: [published('m1'), published('m2', { startedAtMs: 1_010 })],
  arrivals: [
    { id: 'm1', atMs: 1_020 },
    { id: 'm2', atMs: 1_030 },
  ],
  effects: [
    { id: 'm1', consumer: 'c' },
    { id: 'm2', consumer: 'c' },
  ],
  consumers: ['c'],
  deadLetters: [],
  refusals: [],
  ownerships: [owner('r1', 10, 1)],
  cutOffs: [],
  faults: [],
  missedByFloor: 0,
  remains: { outbox: [], broker: 0, letters: 0 },
}

export const rulesBrokenBy = (change: Partial<History>): Rule[] =>
  checkHistory({ ...sound, ...change }).violations.map(({ rule }) => rule)
