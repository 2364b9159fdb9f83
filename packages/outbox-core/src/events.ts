import type { RelayDeadLetterReason } from './dead-letter-reason.ts'
import type { MessageId } from './message.ts'

/** What a relay tells its observer. Never a payload, a header value or an ordering key. */
export type RelayEvent =
  | { readonly type: 'relay.started' | 'relay.stopped'; readonly relayId: string }
  | { readonly type: 'lanes.acquired' | 'lanes.released'; readonly lanes: readonly number[] }
  | {
      readonly type: 'lanes.lost'
      readonly lanes: readonly number[]
      readonly reason: 'lease-expired' | 'fenced' | 'connection-lost'
    }
  /** Lanes were gone from their table, as after a TRUNCATE of all tables, and are put back. */
  | { readonly type: 'lanes.restored'; readonly lanes: number }
  | { readonly type: 'batch.published'; readonly messages: number; readonly failed: number; readonly ms: number }
  | { readonly type: 'batch.settled'; readonly messages: number; readonly ms: number }
  | {
      readonly type: 'message.retry-scheduled'
      readonly id: MessageId
      readonly topic: string
      readonly attempt: number
      readonly code: string
      readonly retryInMs: number
    }
  | {
      readonly type: 'message.dead-lettered'
      readonly id: MessageId
      readonly topic: string
      readonly attempt: number
      readonly reason: RelayDeadLetterReason
      readonly code: string
    }
  | { readonly type: 'key.held'; readonly topic: string; readonly id: MessageId }
  /** The broker is out of reach, or only the destination that is named. No message pays for it. */
  | {
      readonly type: 'outage.started'
      readonly destination?: string
      readonly error: unknown
      readonly retryInMs: number
    }
  | { readonly type: 'outage.ended'; readonly destination?: string; readonly ms: number }
  | { readonly type: 'database.disconnected'; readonly error: unknown; readonly retryInMs: number }
  | { readonly type: 'database.reconnected' }
  | { readonly type: 'doorbell.unavailable'; readonly reason: string }
  /** One relay at a time does what is due. Of partitions that are dropped the rows are not counted. */
  | { readonly type: 'maintenance.done'; readonly task: string; readonly rows: number }
  | { readonly type: 'maintenance.failed'; readonly task: string; readonly error: unknown }
  /** The net under the floor found a message the reader had passed: a writer of seq values outside our rules. Alarm on it. */
  | { readonly type: 'rescan.found-missed'; readonly messages: number }
