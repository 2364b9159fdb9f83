import { describe, expect, it } from 'vitest'
import { classifyEntry, classifyRequest } from '../src/classify.ts'

const answered = (name: string, status: number): Error =>
  Object.assign(new Error('no'), { name, $metadata: { httpStatusCode: status } })

describe('a refused entry', () => {
  it.each([
    ['InvalidMessageContents', true, 'permanent'],
    ['InvalidParameterValue', true, 'retryable'],
    ['InternalFailure', false, 'unavailable'],
    ['ThrottlingException', false, 'unavailable'],
    ['ThrottlingException', true, 'unavailable'],
    ['AccessDenied', true, 'unavailable'],
    ['KMS.DisabledException', true, 'unavailable'],
    ['SomethingTheirs', false, 'unavailable'],
    ['SomethingNew', true, 'retryable'],
  ] as const)('%s (sender fault %s) is %s', (Code, SenderFault, kind) => {
    expect(classifyEntry({ Code, SenderFault, Message: 'no' }, 'queue')).toMatchObject({
      ...(kind === 'unavailable' ? { destination: 'queue' } : {}),
      kind,
      code: Code,
    })
  })

  it('says whose fault it is', () => {
    expect(classifyEntry({ Code: 'X', SenderFault: true }, 'queue').message).toContain('fault of the message')
    expect(classifyEntry({ Code: 'X', SenderFault: false }, 'queue').message).toContain('fault of the service')
  })
})

describe('a refused request', () => {
  it.each([
    ['no answer', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'outage'],
    ['no credentials', Object.assign(new Error('none'), { name: 'CredentialsProviderError' }), 'outage'],
    ['a server error', answered('InternalFailure', 500), 'outage'],
    ['throttling', answered('ThrottlingException', 400), 'failure'],
    ['too many requests', answered('TooManyRequests', 429), 'failure'],
    ['expired credentials', answered('ExpiredToken', 403), 'outage'],
    ['a missing queue', answered('QueueDoesNotExist', 400), 'failure'],
    ['a missing topic', answered('NotFoundException', 404), 'failure'],
    ['no permission', answered('AccessDenied', 403), 'failure'],
    ['a key that may not be used', answered('KmsAccessDenied', 400), 'failure'],
    ['a request that is too long', answered('BatchRequestTooLong', 400), 'split'],
    ['bad characters', answered('InvalidMessageContents', 400), 'split'],
    ['something new', answered('SomethingNew', 400), 'split'],
  ])('%s is %s', (_, error, kind) => {
    expect(classifyRequest(error, 'queue').kind).toBe(kind)
  })

  it('blames the destination, by its name, and no message', () => {
    for (const name of ['QueueDoesNotExist', 'AccessDenied', 'KmsDisabled'])
      expect(classifyRequest(answered(name, 400), 'queue')).toMatchObject({
        failure: { kind: 'unavailable', destination: 'queue', code: name },
      })
  })
})
