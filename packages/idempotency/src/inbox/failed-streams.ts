import { IdempotencyError } from '../errors.ts'
import type { BatchMessage } from './options.ts'

/** The streams of a batch of which a message has failed. */
export interface FailedStreams {
  fail(message: BatchMessage): void
  /** Why the message must not be applied, or null. */
  refuse(message: BatchMessage): IdempotencyError | null
}

export function createFailedStreams(): FailedStreams {
  const failedBy = new Map<string, string>()
  return {
    fail: ({ messageId, stream }) => void (stream !== undefined && failedBy.set(stream, messageId)),
    refuse: ({ messageId, stream }) => {
      const predecessor = stream === undefined ? undefined : failedBy.get(stream)
      if (predecessor === undefined) return null
      return predecessorFailed(messageId, predecessor)
    },
  }
}

/** The error of a message that was not tried. A consumer has it delivered again, and takes no attempt for it. */
export function predecessorFailed(messageId: string, predecessor: string): IdempotencyError {
  return new IdempotencyError(
    'PREDECESSOR_FAILED',
    `message ${messageId} was not tried: message ${predecessor}, which comes before it in its stream, has failed. Let it be delivered again, behind that one`,
  )
}
