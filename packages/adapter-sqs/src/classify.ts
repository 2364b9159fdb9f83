import type { PublishFailure } from '@malote/outbox-core'

/** One refused entry of a batch answer. */
export interface EntryError {
  readonly Code?: string | undefined
  readonly Message?: string | undefined
  readonly SenderFault?: boolean | undefined
}

/** What a failed request says about the messages in it. */
export type RequestVerdict =
  /** The service as a whole, or our access to it, is not there: no message is to blame. */
  | { readonly kind: 'outage' }
  /** Something in the request is wrong: send its messages one by one to find out what. */
  | { readonly kind: 'split' }
  /** The destination is at fault: these messages wait, others may pass. */
  | { readonly kind: 'failure'; readonly failure: PublishFailure }

/** No queue of any configuration takes these. A code missing here is retryable: wrong patience delays, wrong haste kills. */
const permanentCodes = new Set(['InvalidMessageContents'])

const throttlingCodes = new Set([
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'RequestThrottled',
  'RequestThrottledException',
  'TooManyRequestsException',
  'SlowDown',
])

/** Credentials are the same for every message. */
const accessCodes = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidClientTokenId',
  'UnrecognizedClientException',
  'InvalidSecurity',
  'SignatureDoesNotMatch',
  'RequestExpired',
  'OptInRequired',
])

/** The destination, not the message: missing, forbidden, full, broken, or its key is. */
const destinationCodes =
  /^(QueueDoesNotExist|AWS\.SimpleQueueService\.NonExistentQueue|QueueDeletedRecently|NotFound|InvalidAddress|AccessDenied|AuthorizationError|Kms|KMS|InvalidKms|UnsupportedOperation|OverLimit|Internal|ServiceUnavailable)/u

/**
 * Turns a refused batch entry into our vocabulary.
 *
 * SQS and SNS answer 200 even when entries failed, so this is the only place a rejected message becomes visible. What they
 * call their own fault, and what concerns the destination, is no fault of the message.
 */
export function classifyEntry(error: EntryError, destination: string): PublishFailure {
  const code = error.Code ?? 'UNKNOWN'
  const fault = error.SenderFault === true ? 'a fault of the message or its settings' : 'a fault of the service'
  const words = { code, message: `${error.Message ?? 'no reason given'} (${fault})` }
  if (permanentCodes.has(code)) return { kind: 'permanent', ...words }
  const isTheirs = error.SenderFault === false || throttlingCodes.has(code) || destinationCodes.test(code)
  return isTheirs ? { kind: 'unavailable', destination, ...words } : { kind: 'retryable', ...words }
}

/** Turns the rejection of a whole request into what it means for the messages in it. */
export function classifyRequest(error: unknown, destination: string): RequestVerdict {
  const { name, status, message } = describeError(error)
  const unavailable: PublishFailure = { kind: 'unavailable', destination, code: name, message, cause: error }
  // Throttling is counted for each destination: a slow FIFO queue says nothing of its neighbours.
  if (throttlingCodes.has(name) || status === 429) return { kind: 'failure', failure: unavailable }
  if (status === undefined || status >= 500 || accessCodes.has(name)) return { kind: 'outage' }
  return destinationCodes.test(name) || status === 403 || status === 404
    ? { kind: 'failure', failure: unavailable }
    : { kind: 'split' }
}

/** The failure of a request of one message that `classifyRequest` would split. */
export function failureOfSingle(error: unknown): PublishFailure {
  const { name, message } = describeError(error)
  return { kind: permanentCodes.has(name) ? 'permanent' : 'retryable', code: name, message, cause: error }
}

/** Name, words and HTTP status (undefined when no answer came) of whatever the SDK threw. */
export function describeError(error: unknown): { name: string; message: string; status: number | undefined } {
  if (!(error instanceof Error)) return { name: 'UNKNOWN', message: String(error), status: undefined }
  const { $metadata, code } = error as Error & { $metadata?: { httpStatusCode?: number }; code?: unknown }
  const status = $metadata?.httpStatusCode
  const name = status === undefined && typeof code === 'string' ? code : error.name
  return { name, message: error.message === '' ? name : error.message, status }
}
