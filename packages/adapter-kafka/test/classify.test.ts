import { KafkaJSConnectionError, KafkaJSError, KafkaJSNonRetriableError, KafkaJSProtocolError } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { classifyError } from '../src/classify.ts'

function protocol(type: string, code: number, retriable: boolean): Error {
  return new KafkaJSProtocolError(Object.assign(new Error(type), { type, code, retriable }))
}
/** As kafkajs does when its retries are used up. */
const wrapped = (cause: Error): Error => Object.assign(new KafkaJSNonRetriableError(cause.message), { cause })

/** kafkajs' error, the scope it has, and the failure a single record gets. */
const table: readonly (readonly [Error, string, string, string])[] = [
  [protocol('MESSAGE_TOO_LARGE', 10, false), 'records', 'permanent', 'TOO_LARGE'],
  [protocol('RECORD_LIST_TOO_LARGE', 18, false), 'records', 'permanent', 'TOO_LARGE'],
  [protocol('INVALID_RECORD', 87, false), 'records', 'retryable', 'INVALID_RECORD'],
  [protocol('CORRUPT_MESSAGE', 2, true), 'records', 'retryable', 'CORRUPT_MESSAGE'],
  [protocol('NOT_LEADER_FOR_PARTITION', 6, true), 'topic', 'unavailable', 'NOT_LEADER_FOR_PARTITION'],
  [protocol('NOT_ENOUGH_REPLICAS', 19, true), 'topic', 'unavailable', 'NOT_ENOUGH_REPLICAS'],
  [protocol('OUT_OF_ORDER_SEQUENCE_NUMBER', 45, false), 'records', 'retryable', 'OUT_OF_ORDER_SEQUENCE_NUMBER'],
  [protocol('LEADER_NOT_AVAILABLE', 5, true), 'topic', 'unavailable', 'LEADER_NOT_AVAILABLE'],
  [protocol('REQUEST_TIMED_OUT', 7, true), 'topic', 'unavailable', 'REQUEST_TIMED_OUT'],
  [protocol('NOT_ENOUGH_REPLICAS_AFTER_APPEND', 20, true), 'topic', 'unavailable', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND'],
  [protocol('KAFKA_STORAGE_ERROR', 56, true), 'topic', 'unavailable', 'KAFKA_STORAGE_ERROR'],
  [protocol('UNKNOWN_TOPIC_OR_PARTITION', 3, true), 'topic', 'unavailable', 'UNKNOWN_TOPIC_OR_PARTITION'],
  [protocol('INVALID_TOPIC_EXCEPTION', 17, false), 'topic', 'unavailable', 'INVALID_TOPIC_EXCEPTION'],
  [protocol('TOPIC_AUTHORIZATION_FAILED', 29, false), 'topic', 'unavailable', 'TOPIC_AUTHORIZATION_FAILED'],
  [protocol('CLUSTER_AUTHORIZATION_FAILED', 31, false), 'broker', 'retryable', 'CLUSTER_AUTHORIZATION_FAILED'],
  [new KafkaJSConnectionError('refused'), 'broker', 'retryable', 'KafkaJSConnectionError'],
  [new KafkaJSError('The producer is disconnected'), 'broker', 'retryable', 'KafkaJSError'],
  [new TypeError('a mistake of ours'), 'records', 'retryable', 'TypeError'],
  [Object.assign(new Error('down'), { code: -187 }), 'broker', 'retryable', 'Error'],
]

describe('classifying what the client threw', () => {
  it.for(table)('%s', ([error, scope, kind, code]) => {
    expect(classifyError(error, 'orders')).toMatchObject({ scope, failure: { kind, code } })
    expect(classifyError(wrapped(error), 'orders')).toMatchObject({ scope, failure: { kind } })
  })

  it('something that is no error is retryable', () => {
    expect(classifyError('?', 'orders')).toMatchObject({
      scope: 'records',
      failure: { kind: 'retryable', code: 'UNKNOWN' },
    })
  })
})
