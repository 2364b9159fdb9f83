import type { RecordsBatch } from '@platformatic/kafka'
import type { FetchedRecord } from '../../client.ts'

/** Bits of a batch's attributes: written by the broker itself, and stamped by the broker on arrival. */
const controlBit = 0x20
const brokerTimeBit = 0x08

/** Pure: what batches hold from an offset on, and where to go on behind them, also where nothing in them is a record. */
export function recordsOf(
  batches: readonly RecordsBatch[],
  from: bigint,
): { readonly records: FetchedRecord[]; readonly next: bigint } {
  const next = batches.reduce((end, batch) => max(end, batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n), from)
  const records = batches
    .filter(({ attributes }) => (attributes & controlBit) === 0)
    .flatMap((batch) => batch.records.map((record) => recordOf(batch, record)))
  return { records: records.filter(({ offset }) => BigInt(offset) >= from), next }
}

function recordOf(batch: RecordsBatch, record: RecordsBatch['records'][number]): FetchedRecord {
  const { key, value, offsetDelta, timestampDelta, headers } = record
  const isBrokerTime = (batch.attributes & brokerTimeBit) !== 0
  return {
    key,
    value,
    offset: String(batch.firstOffset + BigInt(offsetDelta)),
    timestamp: String(isBrokerTime ? batch.maxTimestamp : batch.firstTimestamp + timestampDelta),
    headers: headersOf(headers),
  }
}

/** A header that comes more than once is a list, in its order. */
function headersOf(pairs: readonly (readonly [Buffer | null, Buffer | null])[]): Record<string, Buffer[]> {
  const named = pairs.flatMap(([name, value]) =>
    name === null || value === null ? [] : [[String(name), value] as const],
  )
  const grouped = [...Map.groupBy(named, ([name]) => name)]
  return Object.fromEntries(grouped.map(([name, all]) => [name, all.map(([, value]) => value)]))
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)
