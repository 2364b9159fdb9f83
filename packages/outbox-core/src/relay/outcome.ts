import type { PublishFailure, PublishResult } from '../publisher.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { resultsOf } from './foreign-input.ts'

export interface FailedMessage {
  readonly message: BufferedMessage
  readonly failure: PublishFailure
}

/** What became of a batch. */
export interface Outcome {
  readonly accepted: readonly BufferedMessage[]
  /** These pay an attempt: messages without a key, and of each stream the first that was not accepted. */
  readonly failed: readonly FailedMessage[]
  /** Not accepted behind a failed one of the same stream: they wait for it and pay nothing. */
  readonly behind: readonly BufferedMessage[]
}

const noResult: PublishFailure = {
  kind: 'retryable',
  code: 'NO_RESULT',
  message: 'the publisher returned no result for this message',
}

/**
 * Matches results to messages. Pure, and forgiving with a publisher that breaks its contract: a missing result is a
 * retryable failure, of contradicting ones the failure counts, an unknown id is ignored, and an acceptance behind a failure
 * of the same stream is believed (the broker has it: sending it again would be the only other choice).
 *
 * @param answer - what the publisher resolved with, whatever it is
 * @throws TypeError when it is no array of results: nothing is known of any message
 */
export function judge(batch: readonly BufferedMessage[], answer: unknown): Outcome {
  if (isAllAcceptedInOrder(batch, answer)) return { accepted: batch, failed: [], behind: [] }
  const failures = failuresById(resultsOf(answer))
  const accepted: BufferedMessage[] = []
  const failed: FailedMessage[] = []
  const behind: BufferedMessage[] = []
  const brokenStreams = new Set<string>()
  for (const message of batch) {
    const failure = failures.has(message.message.id) ? failures.get(message.message.id) : noResult
    if (failure === null) accepted.push(message)
    else if (message.stream !== null && brokenStreams.has(message.stream)) behind.push(message)
    else {
      failed.push({ message, failure: failure ?? noResult })
      if (message.stream !== null) brokenStreams.add(message.stream)
    }
  }
  return { accepted, failed, behind }
}

function isAllAcceptedInOrder(batch: readonly BufferedMessage[], answer: unknown): boolean {
  if (!Array.isArray(answer) || batch.length !== answer.length) return false
  try {
    for (let at = 0; at < batch.length; at++) {
      const result = answer[at] as PublishResult | null | undefined
      if (result?.status !== 'accepted' || result.id !== batch[at]?.message.id) return false
    }
    return true
  } catch {
    return false // A getter or a proxy that throws: the gate for foreign input reads it with care.
  }
}

/** Null for an accepted id. */
function failuresById(results: readonly PublishResult[]): Map<string, PublishFailure | null> {
  const failures = new Map<string, PublishFailure | null>()
  for (const result of results) {
    if (result.status === 'failed') failures.set(result.id, result.failure)
    else if (!failures.has(result.id)) failures.set(result.id, null)
  }
  return failures
}
