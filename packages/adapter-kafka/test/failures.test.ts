import { MultipleErrors, NetworkError, ProtocolError, UserError } from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import { classifyError } from '../src/classify.ts'
import { asksToJoin, isPassing, told } from '../src/clients/platformatic/failures.ts'

/** As the client throws it: what it tried for several brokers, or several times. */
const wrapped = (...errors: Error[]): Error =>
  new MultipleErrors('produce failed 1 times.', [new MultipleErrors('Producing messages failed.', errors)])

describe('errors of @platformatic/kafka', () => {
  it.each([
    ['nobody answers', new NetworkError('Connection closed'), 'broker', 'retryable'],
    ['a cut socket', Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }), 'broker', 'retryable'],
    ['an unknown topic without its code', new UserError('Unknown topic orders.'), 'topic', 'unavailable'],
    ['no right to write', new ProtocolError('TOPIC_AUTHORIZATION_FAILED'), 'topic', 'unavailable'],
    ['too few replicas', new ProtocolError('NOT_ENOUGH_REPLICAS'), 'topic', 'unavailable'],
    ['a record too large', new ProtocolError('MESSAGE_TOO_LARGE'), 'records', 'permanent'],
    ['what is in no table', new ProtocolError('INVALID_RECORD'), 'records', 'retryable'],
  ] as const)('%s', (_, error, scope, kind) => {
    expect(classifyError(told(wrapped(error)), 'orders')).toMatchObject({ scope, failure: { kind } })
  })

  it('an answer counts more than a connection that was lost beside it', () => {
    const both = wrapped(new NetworkError('Connection closed'), new ProtocolError('MESSAGE_TOO_LARGE'))

    expect(classifyError(told(both), 'orders')).toMatchObject({ scope: 'records', failure: { kind: 'permanent' } })
  })

  it('only answers pass by themselves, and only when all of them do', () => {
    expect(isPassing(wrapped(new ProtocolError('COORDINATOR_LOAD_IN_PROGRESS')))).toBe(true)
    expect(isPassing(wrapped(new NetworkError('Connection closed')))).toBe(false)
    expect(isPassing(wrapped(new ProtocolError('NOT_COORDINATOR'), new UserError('Client is closed.')))).toBe(false)
    expect(isPassing(new Error('something else'))).toBe(false)
  })

  it('a group that meets asks its members to join', () => {
    expect(asksToJoin(wrapped(new ProtocolError('REBALANCE_IN_PROGRESS')))).toBe(true)
    expect(asksToJoin(wrapped(new ProtocolError('GROUP_AUTHORIZATION_FAILED')))).toBe(false)
  })
})
