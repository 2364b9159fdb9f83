import { describe, expect, it } from 'vitest'
import { aMessage, killed, owner, published, rulesBrokenBy, sound } from './a-history.ts'
import { checkHistory, type Rule } from './check-history.ts'
import type { Fault, History } from './history.ts'

describe('a history that keeps every promise', () => {
  it('has no violation and is counted', () => {
    expect(checkHistory(sound)).toEqual({
      published: 2,
      delivered: 2,
      duplicates: 0,
      effectsApplied: 2,
      lost: 0,
      undelivered: [],
      orderViolations: 0,
      violations: [],
      recoveryMs: {},
    })
  })

  it('may publish again what was in flight when its relay was killed', () => {
    const first = published('m1', { settledAtMs: null })
    const takenOver = { relay: 'r2', startedAtMs: 1_501 }
    const again = published('m1', { relay: 'r2', startedAtMs: 1_500 })
    const ownerships = [owner('r1', 10, 1), owner(null, 1_200, 1, 'r1'), owner('r2', 1_300, 2)]

    const verdict = checkHistory({
      ...sound,
      committed: [...sound.committed, aMessage('m3', { atMs: 1_100 })],
      publications: [first, published('m2', { startedAtMs: 1_010 }), again, published('m3', takenOver)],
      arrivals: [...sound.arrivals, { id: 'm3', atMs: 1_600 }],
      effects: [...sound.effects, { id: 'm3', consumer: 'c' }],
      ownerships,
      faults: [killed],
    })

    expect(verdict.violations).toEqual([])
    expect(verdict.duplicates).toBe(1)
    expect(verdict.recoveryMs).toEqual({ 'kill-relay': { p50: 451, max: 451 } })
  })

  it('may publish again what was settled moments before the database server crashed, and no earlier', () => {
    const crash: Fault = {
      ...killed,
      kind: 'restart-postgres-immediate',
      relay: null,
      startedAtMs: 3_000,
      endedAtMs: 3_400,
    }
    const repeat = { startedAtMs: 3_500, settledAtMs: 3_600 }
    const undone = (settledAtMs: number): Rule[] =>
      rulesBrokenBy({
        publications: [published('m1', { settledAtMs }), ...sound.publications.slice(1), published('m1', repeat)],
        faults: [crash],
      })

    expect(undone(1_100)).toEqual([])
    expect(undone(999)).toEqual(['duplicate-without-fault'])
  })

  it('may deliver an older message again after a newer one', () => {
    expect(rulesBrokenBy({ arrivals: [...sound.arrivals, { id: 'm1', atMs: 2_000 }] })).toEqual([])
  })

  it('may dead-letter a message that was made to fail', () => {
    const doomed = aMessage('m3', { isDoomed: true })
    const deadLetters = [{ id: 'm3', reason: 'MAX_ATTEMPTS' }]

    expect(rulesBrokenBy({ committed: [...sound.committed, doomed], deadLetters })).toEqual([])
  })
})

describe('a violation is found:', () => {
  it.each<[string, Partial<History>, Rule[]]>([
    [
      'a committed message that never left',
      { committed: [...sound.committed, aMessage('m3')], consumers: [] },
      ['lost'],
    ],
    ['a message of a transaction that rolled back', { committed: [aMessage('m1')] }, ['not-committed']],
    ['two messages of a key the wrong way round', { arrivals: sound.arrivals.toReversed() }, ['out-of-order']],
    [
      'two messages of a key published the wrong way round',
      { publications: [published('m2'), published('m1', { startedAtMs: 1_010 })] },
      ['published-out-of-order'],
    ],
    [
      'a message that was taken behind a refused one of its key',
      {
        publications: [
          published('m1', { answer: 'refused' }),
          published('m2'),
          published('m1', { startedAtMs: 1_010 }),
        ],
      },
      ['published-out-of-order'],
    ],
    [
      'a repeat although nothing failed',
      { publications: [...sound.publications, published('m1', { startedAtMs: 1_200 })] },
      ['duplicate-without-fault'],
    ],
    [
      'a repeat of what was settled before the fault',
      {
        publications: [...sound.publications, published('m1', { startedAtMs: 1_400 })],
        faults: [{ ...killed, startedAtMs: 1_300, endedAtMs: 1_300 }],
      },
      ['duplicate-without-fault'],
    ],
    ['a message that only the net under the floor found', { missedByFloor: 1 }, ['floor-passed-a-message']],
    ['an effect applied twice', { effects: [...sound.effects, { id: 'm1', consumer: 'c' }] }, ['effect-twice']],
    ['an effect never applied', { effects: sound.effects.slice(1) }, ['effect-missing']],
    ['a consumer that missed everything', { consumers: ['c', 'd'] }, ['effect-missing', 'effect-missing']],
    [
      'a good message among the dead letters',
      { deadLetters: [{ id: 'm1', reason: 'POISON' }] },
      ['unexpected-dead-letter'],
    ],
    [
      'a doomed message that got through',
      { committed: [aMessage('m1', { isDoomed: true }), aMessage('m2')] },
      ['dead-letter-missing'],
    ],
    [
      'a lane taken from a living owner',
      { ownerships: [owner('r1', 10, 1), owner('r2', 2_000, 2, 'r1')] },
      ['two-owners'],
    ],
    [
      'a lane taken over without a new fence',
      { ownerships: [owner('r1', 10, 1), owner(null, 2_000, 1), owner('r2', 2_001, 1)] },
      ['two-owners'],
    ],
    [
      'a publish that began after the lane had gone to another relay',
      { ownerships: [owner('r1', 10, 1), owner(null, 500, 1), owner('r2', 501, 2)] },
      ['published-without-the-lane', 'published-without-the-lane'],
    ],
  ])('%s', (_, change, rules) => {
    expect(rulesBrokenBy(change)).toEqual(rules)
  })

  const line = { askedAtMs: 1, answeredAtMs: 1_050, isComplete: true, dead: 0 }
  const late = aMessage('m3', { isDoomed: true })

  it.each<[string, Partial<History>, Rule[]]>([
    [
      'a cut-off that is complete before the broker has what had begun',
      { cutOffs: [line] },
      ['cut-off-too-early', 'cut-off-too-early'],
    ],
    ['and none when it had', { cutOffs: [{ ...line, answeredAtMs: 1_090 }] }, []],
    ['and none for what began later', { cutOffs: [{ ...line, askedAtMs: 0 }] }, []],
    ['and none for one whose time was up', { cutOffs: [{ ...line, isComplete: false }] }, []],
    [
      'a cut-off that does not name a dead message',
      {
        committed: [...sound.committed, late],
        deadLetters: [{ id: 'm3', reason: 'MAX_ATTEMPTS' }],
        cutOffs: [{ ...line, answeredAtMs: 1_090 }],
      },
      ['cut-off-too-early'],
    ],
    [
      'and none for one that does',
      {
        committed: [...sound.committed, late],
        deadLetters: [{ id: 'm3', reason: 'MAX_ATTEMPTS' }],
        cutOffs: [{ ...line, answeredAtMs: 1_090, dead: 1 }],
      },
      [],
    ],
    [
      'and none for one that names it as waiting for an operator, after whose word it died',
      {
        committed: [...sound.committed, late],
        deadLetters: [{ id: 'm3', reason: 'MAX_ATTEMPTS' }],
        cutOffs: [{ ...line, answeredAtMs: 1_090, stopped: 1 }],
      },
      [],
    ],
    ['and none when it names as many that wait for an operator', { cutOffs: [{ ...line, stopped: 2 }] }, []],
    [
      'a cut-off that names fewer than wait for an operator',
      { cutOffs: [{ ...line, stopped: 1 }] },
      ['cut-off-too-early', 'cut-off-too-early'],
    ],
  ])('%s', (_, change, rules) => {
    expect(rulesBrokenBy(change)).toEqual(rules)
  })

  it('evidence names the message, its key and its place', () => {
    const [found] = checkHistory({ ...sound, arrivals: sound.arrivals.toReversed() }).violations

    expect(found?.evidence).toBe(
      'm1 (key k, place 1, lane 7, committed at 0) first arrived at 1020, after m2 (key k, place 2, lane 7, committed at 0); ' +
        'the late one: published by r1 at 1000 (accepted, settled 1100); the other: published by r1 at 1010 (accepted, settled 1100)',
    )
  })
})
