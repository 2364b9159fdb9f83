import type { OutboxMessage, PublishFailure } from '@malote/outbox-core'
import type { KafkaRecord } from './client.ts'
import { batchOverheadBytes } from './encode.ts'

/** A message on its way, with what it is sent as. */
export interface Outgoing {
  readonly message: OutboxMessage
  /** The Kafka topic. */
  readonly topic: string
  readonly record: KafkaRecord
  readonly bytes: number
  /** Why it is not sent at all. It still has its place: what comes before it in its key goes, what comes after does not. */
  readonly refused: PublishFailure | null
}

/**
 * Pieces a failed request is taken apart into. A request goes to several partitions, and those that took their records get them
 * again with each finer request: eight ways find one record among 512 in three rounds where halving needs nine.
 */
const pieces = 8

/**
 * Pure: requests of at most `maxBatchBytes` in the order given. A record larger than that has one of its own, and so has one
 * that is refused.
 */
export function requestsOf(outgoing: readonly Outgoing[], maxBatchBytes: number): Outgoing[][] {
  const requests: Outgoing[][] = []
  let size = Number.POSITIVE_INFINITY
  for (const item of outgoing) {
    size += item.bytes
    if (size > maxBatchBytes || item.refused !== null) {
      requests.push([])
      size = batchOverheadBytes + item.bytes
    }
    requests.at(-1)?.push(item)
    if (item.refused !== null) size = Number.POSITIVE_INFINITY
  }
  return requests
}

/**
 * Pure: takes a failed request of two or more records apart. Records of several keys are divided by key, which keeps each key's
 * order whole; records of one key are divided by position, to be sent one piece after the other.
 */
export function splitRequest(request: readonly Outgoing[]): Outgoing[][] {
  const byKey = [...Map.groupBy(request, (item) => String(item.record.key)).values()]
  return byKey.length === 1 ? slices(request) : slices(byKey).map((group) => group.flat())
}

function slices<Item>(items: readonly Item[]): Item[][] {
  const length = Math.ceil(items.length / pieces)
  return Array.from({ length: Math.ceil(items.length / length) }, (_, n) => items.slice(n * length, (n + 1) * length))
}
