import type { BufferedMessage } from '../../src/relay/buffered-message.ts'

/** A message as the reader hands it on; its id says its seq. */
export function aBuffered(
  seq: number,
  stream: string | null = null,
  change: Partial<BufferedMessage> = {},
): BufferedMessage {
  return {
    seq,
    lane: 0,
    stream,
    bytes: 10,
    hasWaited: false,
    maxTogether: Number.POSITIVE_INFINITY,
    diedAlone: false,
    message: {
      id: String(seq),
      topic: 't',
      type: 'x',
      orderingKey: stream,
      headers: {},
      body: '{}',
      contentType: 'application/json',
      createdAt: new Date(0),
      attempt: 1,
    },
    ...change,
  }
}

export const seqsOf = (messages: readonly BufferedMessage[]): number[] => messages.map(({ seq }) => seq)
