import { numberOption } from '../options.ts'

/** From where on the doctor says something. Times are in milliseconds. */
export interface DoctorLimits {
  /** Age of a message that is due and not published. @defaultValue 60_000 */
  readonly overdueMs: number
  /** Age of a transaction that holds vacuum back, prepared ones included. @defaultValue 300_000 */
  readonly openTransactionMs: number
  /** How long a transaction that wrote messages may do nothing. @defaultValue 60_000 */
  readonly idleWriterMs: number
  /** Dead rows of one table. @defaultValue 1_000_000: what a relay at full speed leaves between two runs of autovacuum */
  readonly deadRows: number
  /** Share of `max_connections` that is taken. @defaultValue 0.9 */
  readonly connectionShare: number
  /** Difference between this machine's clock and the database's. @defaultValue 1_000 */
  readonly clockSkewMs: number
  /**
   * How long your broker can keep a message, or its dead-letter queue: an inbox that forgets earlier applies a late one again or
   * refuses it. @defaultValue 7 days: Kafka's default, and more than that of SQS
   */
  readonly brokerRetentionMs: number
  /** How long an idempotency key may lie after it has expired. @defaultValue 1 day */
  readonly expiredKeyMs: number
}

const dayMs = 24 * 60 * 60 * 1_000

const defaults: DoctorLimits = {
  overdueMs: 60_000,
  openTransactionMs: 300_000,
  idleWriterMs: 60_000,
  deadRows: 1_000_000,
  connectionShare: 0.9,
  clockSkewMs: 1_000,
  brokerRetentionMs: 7 * dayMs,
  expiredKeyMs: dayMs,
}

/** @throws OutboxError `INVALID_OPTION` */
export function doctorLimits(given: Partial<DoctorLimits> = {}): DoctorLimits {
  const checked = Object.entries(defaults).map(([name, value]) => [
    name,
    numberOption(name, given[name as keyof DoctorLimits], value, { min: 0, integer: false }),
  ])
  return Object.fromEntries(checked)
}
