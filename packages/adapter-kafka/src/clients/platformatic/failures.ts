import type { GenericError, MultipleErrors, ProtocolError, ResponseError } from '@platformatic/kafka'
import { PublishOutageError } from '@malote/outbox-core'

/** What Kafka answered, with its protocol code and the code's name, as the adapter reads them from any client. */
class KafkaAnswerError extends Error {
  override readonly name = 'KafkaAnswerError'
  readonly code: number
  readonly type: string
  /** As kafkajs names what passes by itself. */
  readonly retriable: boolean

  constructor(code: number, type: string, message: string, cause: unknown) {
    super(message, { cause })
    this.code = code
    this.type = type
    this.retriable = isPassing(cause)
  }
}

/** UNKNOWN_TOPIC_OR_PARTITION, which the client replaces by an error without a code. */
const unknownTopic = 3

/**
 * Turns an error of the client into one with the protocol's code, or into an outage where nobody answered. Of several answers the first
 * counts: what a request holds is looked for in smaller ones.
 */
export function told(error: unknown): unknown {
  const errors = leavesOf(error)
  const answer = errors.find(isAnswer)
  if (answer !== undefined) return new KafkaAnswerError(answer.apiCode, answer.apiId, answer.message, error)
  const missing = errors.find(({ message }) => message.startsWith('Unknown topic '))
  if (missing !== undefined)
    return new KafkaAnswerError(unknownTopic, 'UNKNOWN_TOPIC_OR_PARTITION', missing.message, error)
  const lost = errors.find(isUnreached)
  return lost === undefined ? error : new PublishOutageError(lost.message, { cause: error })
}

/** Awaits, and throws what `told` makes of an error. */
export async function telling<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw told(error)
  }
}

/** Whether Kafka answered with what passes by itself: a coordinator that loads, a leader that is elected. */
export function isPassing(error: unknown): boolean {
  const errors = leavesOf(error)
  return errors.length > 0 && errors.every((one) => isAnswer(one) && (one as { canRetry?: unknown }).canRetry === true)
}

/** Whether nobody answered. */
export function isLost(error: unknown): boolean {
  return told(error) instanceof PublishOutageError
}

/** Whether the group meets again, and this member has to join once more. */
export function asksToJoin(error: unknown): boolean {
  return leavesOf(error).some((one) => (one as { needsRejoin?: unknown }).needsRejoin === true)
}

/** Places, by topic id, whose position lies outside of the log. Empty when the error is another one. */
export function outOfRange(error: unknown): { readonly topicId: string; readonly partition: number }[] {
  const { response } = error as { response?: FetchAnswer }
  return (response?.responses ?? []).flatMap(({ topicId, partitions }) =>
    partitions.flatMap(({ partitionIndex: partition, errorCode }) => (errorCode === 1 ? [{ topicId, partition }] : [])),
  )
}

interface FetchAnswer {
  readonly responses?: readonly {
    readonly topicId: string
    readonly partitions: readonly { readonly partitionIndex: number; readonly errorCode: number }[]
  }[]
}

/** The errors that others were made of: the client wraps what it tried several times, or for several brokers. */
function leavesOf(error: unknown): Error[] {
  if (error instanceof AggregateError) return (error as MultipleErrors | ResponseError).errors.flatMap(leavesOf)
  return error instanceof Error ? [error] : []
}

function isAnswer(error: Error): error is ProtocolError & { readonly apiId: string; readonly apiCode: number } {
  return typeof (error as { apiCode?: unknown }).apiCode === 'number'
}

function isUnreached(error: Error): error is GenericError {
  const { code } = error as { code?: unknown }
  return (
    typeof code === 'string' &&
    /^(PLT_KFK_(NETWORK|TIMEOUT|AUTHENTICATION)|E[A-Z]+|UND_|ERR_(TLS|SSL|SOCKET))/.test(code)
  )
}
