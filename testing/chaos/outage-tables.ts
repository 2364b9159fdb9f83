import type { BrokerReport } from './guarantees.ts'
import type { FaultKind } from './plan.ts'

const outageKinds: Partial<Record<FaultKind, string>> = {
  'handler-database-away': "the handlers' database",
  'dead-letters-away': 'the place for dead letters',
}

/** Of runs in which consumers lack what they need. */
export function outageTable(reports: readonly BrokerReport[]): string {
  const rows = reports.flatMap(({ broker, report }) =>
    Object.entries(outageKinds).map(([kind, away]) => {
      const resumed = report.resumedMs?.[kind] ?? []
      const wentOn = resumed.length === 0 ? '–' : resumed.map(seconds).join(', ')
      const lasted = report.outageMs === undefined ? '' : `, ${String(report.outageMs / 60_000)} min`
      const times = report.faults[kind]
      if (times === undefined) return `| ${broker} | ${away} | not run | – | – | – | – | – |`
      const cells = [`${String(times)} ×${lasted}`, wentOn, report.published, report.effectsApplied]
      return `| ${[broker, away, ...cells, report.lost, report.violations.length].join(' | ')} |`
    }),
  )
  return `| broker | away | times | went on after | published | effects | lost | violations |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

export function outageCommand(first: BrokerReport | undefined): string {
  return `${command(first)} --relays 2 --every 40000 --outage 600 --faults handler-database-away$(printf ',kill-consumer%.0s' $(seq 26)),dead-letters-away`
}

/** Of runs in which a destination is away or throttled. */
export function destinationTable(reports: readonly BrokerReport[]): string {
  const rows = reports.flatMap(({ broker, report }) =>
    destinationKinds
      .filter((kind) => report.faults[kind] !== undefined)
      .map((kind) => {
        const recovery = report.recoveryMs[kind]
        const again = recovery === undefined ? '–' : `${seconds(recovery.p50)} … ${seconds(recovery.max)}`
        const lasted = `${String(report.faults[kind])} ×, ${String((report.outageMs ?? 0) / 1_000)} s`
        const { attempts, deadLetters, heldKeys } = report.paid ?? { attempts: '–', deadLetters: '–', heldKeys: '–' }
        const cells = [lasted, again, report.published, attempts, deadLetters, heldKeys, report.lost]
        return `| ${[broker, `\`${kind}\``, ...cells, report.orderViolations, report.violations.length].join(' | ')} |`
      }),
  )
  return `| broker | outage | times | again after | published | attempts paid | dead letters | keys held | lost | out of order | violations |
|---|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

const destinationKinds = ['destination-away', 'destination-throttled'] as const

export function destinationCommand(first: BrokerReport | undefined): string {
  const lasts = (first?.report.outageMs ?? 0) / 1_000
  const everyMs = lasts > 60 ? 330_000 : 20_000
  return `${command(first)} --every ${String(everyMs)} --outage ${String(lasts)} --defaults --faults ${destinationKinds.join(',')}`
}

const recoveryKinds = ['kill-relay', 'terminate-backends'] as const

/** Of runs in which each fault is over before the next begins. */
export function recoveryTable(reports: readonly BrokerReport[]): string {
  const rows = reports.flatMap(({ broker, report }) =>
    recoveryKinds.map((kind) => {
      const recovery = report.recoveryMs[kind]
      const again = recovery === undefined ? ['–', '–'] : [seconds(recovery.p50), seconds(recovery.max)]
      const cells = [`${String(report.faults[kind])} ×`, ...again, report.published, report.duplicates, report.lost]
      return `| ${[broker, `\`${kind}\``, ...cells, report.orderViolations, report.violations.length].join(' | ')} |`
    }),
  )
  return `| broker | fault | times | half of the lanes again after | the last | published | repeats | lost | out of order | violations |
|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

export function recoveryCommand(first: BrokerReport | undefined): string {
  return `${command(first)} --every 15000 --faults ${recoveryKinds.join(',')}`
}

/** As a reader reads it. */
export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

/** The command that repeats a run's plan. */
export function command(first: BrokerReport | undefined): string {
  if (first === undefined) return 'npm run chaos'
  const { broker, report } = first
  return `npm run chaos -- --minutes ${String(report.seconds / 60)} --seed ${String(report.seed)} --broker ${broker}`
}
