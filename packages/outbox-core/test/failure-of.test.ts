import { expect, it } from 'vitest'
import { failureOf } from '../src/adapter/failure-of.ts'
import { HandlerOutageError, isOutage, OutboxError, PermanentFailure, UnknownTypeError } from '../src/index.ts'

const limits = { maxAttempts: 3, backoff: (attempt: number) => attempt * 100, unknownTypeRetryMs: 5_000, isOutage }

it.each([
  [
    'an error before the last attempt comes again after the backoff',
    new Error('x'),
    2,
    { kind: 'retryable', inMs: 200 },
  ],
  ['an error on the last attempt is a dead letter', new Error('x'), 3, { kind: 'dead', reason: 'MAX_ATTEMPTS' }],
  ['a permanent failure is a dead letter at once', new PermanentFailure('x'), 1, { kind: 'dead', reason: 'PERMANENT' }],
  [
    'an undecodable body is a dead letter at once',
    new OutboxError('UNDECODABLE_MESSAGE', 'x'),
    1,
    { kind: 'dead', reason: 'UNDECODABLE' },
  ],
  ['an unknown type never runs out of attempts', new UnknownTypeError('x'), 99, { kind: 'unknown-type', inMs: 5_000 }],
  [
    'what the inbox did not try never runs out of attempts, and comes again soon',
    Object.assign(new Error('x'), { code: 'PREDECESSOR_FAILED' }),
    99,
    { kind: 'not-tried', inMs: limits.backoff(1) },
  ],
  ['an outage never runs out of attempts', new HandlerOutageError('x'), 99, { kind: 'outage' }],
  [
    'what the handler calls permanent is, whatever the cause',
    new PermanentFailure('x', { cause: new HandlerOutageError('y') }),
    1,
    { kind: 'dead', reason: 'PERMANENT' },
  ],
] as const)('%s', (_, error, attempt, verdict) => {
  expect(failureOf(error, attempt, limits)).toEqual(verdict)
})
