import type { PublishFailure } from '@malote/outbox-core'

/**
 * What a failed request means for the records in it.
 *
 * - `broker`: nobody answers, for any topic. An outage.
 * - `topic`: the topic, or a partition of it, takes nothing now: its records wait until somebody has mended it.
 * - `records`: one record or one partition may be to blame: smaller requests find out which.
 */
export interface RequestFailure {
  readonly scope: 'broker' | 'topic' | 'records'
  /** What to report for a record that failed in a request of its own. */
  readonly failure: PublishFailure
}

/** Names of client errors that say "not reached", by kafkajs. */
const unreachable = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
  'KafkaJSNoBrokerAvailableError',
  'KafkaJSGroupCoordinatorNotFound',
  'KafkaJSSASLAuthenticationError',
  'KafkaJSTimeout',
  'KafkaJSLockTimeout',
  'PublishOutageError',
])

/** Protocol error codes (kafka.apache.org/protocol#protocol_error_codes) that concern the whole broker or this client. */
const brokerCodes = new Set([8, 13, 14, 15, 31, 33, 34, 41, 58])

/** librdkafka's own codes for the same: resolve, transport, all brokers down, timed out, authentication, message timed out. */
const librdkafkaBrokerCodes = new Set([-193, -195, -187, -185, -169, -192])

/**
 * Unknown topic or id, no leader or one that moves, too few replicas in time, invalid name, not authorized, log directory
 * failed, policy, unsupported compression or version, quota; of librdkafka: unknown topic, unknown partition.
 */
const topicCodes = new Set([3, 5, 6, 7, 9, 17, 19, 20, 29, 35, 44, 56, 74, 75, 76, 89, 100, -188, -190])

/** Message or record list too large: with one record in the request, no broker of this configuration takes it. */
const tooLargeCodes = new Set([10, 18])

/**
 * Turns what a client threw into our vocabulary.
 *
 * An error missing from the tables is retryable and looked for in smaller requests: a wrong "permanent" kills a good message, a
 * wrong "retryable" only delays it.
 *
 * @param topic - the topic of the request, by its name in Kafka
 */
export function classifyError(error: unknown, topic: string): RequestFailure {
  const { name, code, type, message } = rootOf(error)
  if (code !== null && tooLargeCodes.has(code))
    return { scope: 'records', failure: { kind: 'permanent', code: 'TOO_LARGE', message, cause: error } }
  const failure: PublishFailure = { kind: 'retryable', code: type ?? name, message, cause: error }
  if (unreachable.has(name)) return { scope: 'broker', failure }
  if (code === null) return { scope: isNotConnected(message) ? 'broker' : 'records', failure }
  if (brokerCodes.has(code) || librdkafkaBrokerCodes.has(code)) return { scope: 'broker', failure }
  return topicCodes.has(code)
    ? { scope: 'topic', failure: { ...failure, kind: 'unavailable', destination: `topic ${topic}` } }
    : { scope: 'records', failure }
}

interface ErrorShape {
  readonly name: string
  readonly code: number | null
  readonly type: string | null
  readonly message: string
}

/** kafkajs wraps what happened in "number of retries exceeded" and "non retriable", sometimes twice. */
function rootOf(error: unknown): ErrorShape {
  let current = error
  for (let depth = 0; depth < 5; depth++) {
    const shape = shapeOf(current)
    if (shape.code !== null || unreachable.has(shape.name)) return shape
    const cause = current instanceof Error ? current.cause : undefined
    if (cause === undefined || cause === null) return shape
    current = cause
  }
  return shapeOf(error)
}

function shapeOf(error: unknown): ErrorShape {
  if (!(error instanceof Error)) return { name: 'UNKNOWN', code: null, type: null, message: String(error) }
  const { code, type } = error as { code?: unknown; type?: unknown }
  return {
    name: error.name,
    // A connection error carries Node's words for it, such as ECONNREFUSED, under the same name.
    code: typeof code === 'number' ? code : null,
    type: typeof type === 'string' ? type : null,
    message: error.message,
  }
}

function isNotConnected(message: string): boolean {
  return message.startsWith('The producer is disconnect')
}
