import type { OutboxMessage } from '../message.ts'
import type { PublishResult } from '../publisher.ts'
import type { BufferedMessage } from './buffered-message.ts'

/**
 * Leaves out of a batch what was too large to be read, and what stands behind it in its stream, with the results that those
 * too large get instead. Pure.
 */
export function withoutTooLarge(batch: readonly BufferedMessage[]): {
  readonly sent: readonly OutboxMessage[]
  readonly refused: readonly PublishResult[]
} {
  const sent: OutboxMessage[] = []
  const refused: PublishResult[] = []
  const stopped = new Set<string>()
  for (const { message, stream, tooLarge } of batch) {
    if (stream !== null && stopped.has(stream)) continue
    if (tooLarge === undefined) sent.push(message)
    else {
      refused.push({ id: message.id, status: 'failed', failure: refusal(tooLarge) })
      if (stream !== null) stopped.add(stream)
    }
  }
  return { sent, refused }
}

function refusal(bytes: number): Extract<PublishResult, { status: 'failed' }>['failure'] {
  const message = `its body or headers have ${String(bytes)} bytes, more than the relay's maxPayloadBytes allows, and were not read`
  return { kind: 'permanent', code: 'TOO_LARGE', message }
}
