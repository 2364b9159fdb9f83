import type { Invariant } from './invariants.ts'
import type { DemoRun, ProgressState } from './run-demo.ts'

/** The object `--json` prints: one line, these keys. */
export interface DemoSummary {
  readonly orders: number
  readonly accepted: number
  readonly refused: number
  readonly replayed: number
  readonly filled: number
  readonly rejected: number
  readonly settled: number
  readonly compensated: number
  readonly relayKills: number
  readonly messagesPublished: number
  readonly duplicateDeliveries: number
  readonly effectsApplied: number
  readonly lost: number
  readonly keyOrderViolations: number
  readonly deadLetters: number
  readonly ledgerSum: number
  readonly seconds: number
}

/** Requests and answers are of this run; orders, messages and the ledger are of the data folder, earlier runs included. */
export function summarise(run: DemoRun, orders: number, seconds: number): DemoSummary {
  const { measured, verified, feed } = run
  return {
    orders,
    accepted: measured.accepted,
    refused: feed.refused,
    replayed: feed.replayed,
    filled: measured.filled,
    rejected: measured.rejected,
    settled: measured.settled,
    compensated: measured.compensated,
    relayKills: run.relayKills,
    messagesPublished: measured.messagesAdded - measured.messagesWaiting - measured.deadLetters,
    duplicateDeliveries: measured.duplicateDeliveries,
    effectsApplied: measured.effectsApplied,
    lost: measured.lost,
    keyOrderViolations: verified.keyOrderViolations,
    deadLetters: measured.deadLetters + run.consumerDeadLetters,
    ledgerSum: verified.ledgerSum,
    seconds: Math.round(seconds * 10) / 10,
  }
}

export function formatSummary(summary: DemoSummary): string {
  const label = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  return Object.entries(summary)
    .map(([key, value]) => `  ${label(key).padEnd(24)}${String(value).padStart(10)}\n`)
    .join('')
}

export function formatInvariants(invariants: readonly Invariant[]): string {
  return invariants.map(({ rule, holds, found }) => `  ${holds ? 'ok    ' : 'BROKEN'}  ${rule}: ${found}\n`).join('')
}

export function formatProgress({ total, answered, measured, relayKills }: ProgressState, seconds: number): string {
  const closed = measured.settled + measured.compensated
  return [
    `${String(Math.floor(seconds)).padStart(3)} s`,
    `requests ${String(answered)}/${String(total)}`,
    `orders ${String(measured.accepted)} accepted, ${String(closed)} closed`,
    `messages ${String(measured.effectsApplied)}/${String(measured.messagesAdded)} applied`,
    `relay kills ${String(relayKills)}`,
    `duplicates absorbed ${String(measured.duplicateDeliveries)}`,
  ].join(' · ')
}
