import { describe, expect, it } from 'vitest'
import type { PublishResult } from '../../src/index.ts'
import { judge } from '../../src/relay/outcome.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'

const ok = (id: number): PublishResult => ({ id: String(id), status: 'accepted' })
const failed = (id: number, code = 'NOPE'): PublishResult => ({
  id: String(id),
  status: 'failed',
  failure: { kind: 'retryable', code, message: '' },
})
const batch = [aBuffered(1, 'a'), aBuffered(2, null), aBuffered(3, 'a'), aBuffered(4, 'a'), aBuffered(5, 'b')]

describe('an outcome', () => {
  it.each<[string, PublishResult[], { accepted: number[]; failed: number[]; behind: number[] }]>([
    ['all accepted', [1, 2, 3, 4, 5].map(ok), { accepted: [1, 2, 3, 4, 5], failed: [], behind: [] }],
    ['accepted in any order', [5, 4, 3, 2, 1].map(ok), { accepted: [1, 2, 3, 4, 5], failed: [], behind: [] }],
    [
      'the first of a stream pays, those behind it wait',
      [failed(1), ok(2), failed(3), failed(4), ok(5)],
      { accepted: [2, 5], failed: [1], behind: [3, 4] },
    ],
    [
      'an acceptance behind a failure is believed',
      [failed(1), ok(2), ok(3), failed(4), ok(5)],
      { accepted: [2, 3, 5], failed: [1], behind: [4] },
    ],
    ['a missing result is a failure', [1, 3, 4, 5].map(ok), { accepted: [1, 3, 4, 5], failed: [2], behind: [] }],
    ['no results at all', [], { accepted: [], failed: [1, 2, 5], behind: [3, 4] }],
    [
      'of contradicting results the failure counts',
      [ok(1), failed(1), ok(2), ok(3), ok(4), ok(5), failed(5), ok(5)],
      { accepted: [2, 3, 4], failed: [1, 5], behind: [] },
    ],
    [
      'unknown ids are ignored',
      [...[1, 2, 3, 4, 5].map(ok), failed(99)],
      { accepted: [1, 2, 3, 4, 5], failed: [], behind: [] },
    ],
  ])('%s', (_name, results, expected) => {
    const outcome = judge(batch, results)

    expect({
      accepted: seqsOf(outcome.accepted),
      failed: outcome.failed.map(({ message }) => message.seq),
      behind: seqsOf(outcome.behind),
    }).toEqual(expected)
  })
})
