import { streamOf, type OutboxMessage } from '../message.ts'
import type { MessageRow } from '../postgres/message-reads.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { headersOf, instantOf } from './foreign-input.ts'
import { maxTogetherOf } from './suspicion.ts'

/** What is never read whole. */
export interface ReadLimits {
  /** Larger bodies are left in the table. */
  readonly maxPayloadBytes: number
  /** A message that ended so many relays, each time alone, is left there too. */
  readonly maxAttempts: number
}

/**
 * @param hasWaited - it came through the waiting path
 * @param isLaneSuspected - it may be what ended the lane's former owners
 */
export function messageOfRow(row: MessageRow, hasWaited: boolean, isLaneSuspected: boolean): BufferedMessage {
  const message = outboxMessageOf(row)
  const isRead = hasBody(row)
  return {
    seq: Number(row.seq),
    lane: row.lane,
    stream: streamOf(message),
    hasWaited,
    maxTogether: maxTogetherOf(row.died_among, isLaneSuspected),
    diedAlone: row.died_among === 1,
    message,
    bytes: isRead ? row.size : 0,
    ...(isRead ? undefined : { tooLarge: row.largest }),
  }
}

/** It did not fit into the bytes of this read; one that is too large, or has ended too many relays, goes on without its body. */
export function isWithheld(row: MessageRow, { maxPayloadBytes, maxAttempts }: ReadLimits): boolean {
  const isSpent = row.died_among === 1 && row.attempts >= maxAttempts
  return !hasBody(row) && row.largest <= maxPayloadBytes && !isSpent
}

const hasBody = (row: MessageRow): boolean => row.payload !== null || row.payload_binary !== null

function outboxMessageOf(row: MessageRow): OutboxMessage {
  return {
    id: row.id,
    topic: row.topic,
    type: row.type,
    orderingKey: row.ordering_key,
    headers: headersOf(row.headers),
    body: row.payload ?? row.payload_binary ?? '',
    contentType: row.content_type,
    createdAt: instantOf(row.created_s * 1000),
    attempt: row.attempts + 1,
  }
}
