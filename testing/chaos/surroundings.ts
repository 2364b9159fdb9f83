import { spawnSync } from 'node:child_process'
import type { BrokerName } from './brokers/broker.ts'
import { whyNoDatabaseClock } from './database-clock.ts'
import { whyNoNamespaces } from './namespaces.ts'
import type { FaultKind } from './plan.ts'

interface Asked {
  readonly kinds: readonly FaultKind[]
  readonly broker: BrokerName
}

/** Of the kinds that a run is asked for: which mean nothing to this broker on any machine, and why. */
export function kindsSkipped({ kinds, broker }: Asked): Record<string, string> {
  return reasons(kinds, (kind) => {
    if (kind === 'partition-broker' && broker === 'log') return 'a file is not behind a network'
    if (kind === 'broker-disk-full' && broker !== 'rabbitmq' && broker !== 'kafka')
      return `${broker} has no disk of its own that could be full`
    return null
  })
}

/** Of those that mean something to it: which this machine cannot do, and what it lacks. */
export function kindsNotRun({ kinds, broker }: Asked): Record<string, string> {
  const skipped = kindsSkipped({ kinds, broker })
  return reasons(
    kinds.filter((kind) => !(kind in skipped)),
    (kind) => whyNotHere(kind, broker),
  )
}

function whyNotHere(kind: FaultKind, broker: BrokerName): string | null {
  switch (kind) {
    case 'move-database-clock':
      return whyNoDatabaseClock()
    case 'partition-database':
    case 'partition-broker':
      return whyNoNamespaces()
    case 'broker-disk-full':
      return broker === 'rabbitmq' || spawnSync('prlimit', ['--version']).status === 0
        ? null
        : 'the command `prlimit` (util-linux) is missing'
    default:
      return null
  }
}

function reasons(kinds: readonly FaultKind[], why: (kind: FaultKind) => string | null): Record<string, string> {
  return Object.fromEntries(
    [...new Set(kinds)].flatMap((kind) => {
      const reason = why(kind)
      return reason === null ? [] : [[kind, reason]]
    }),
  )
}

/** What is left of a run's kinds, and, for whoever watches it, what is left out and why. */
export function kindsDone(asked: Asked): { readonly kinds: readonly FaultKind[]; readonly leftOut: readonly string[] } {
  const [skipped, notRun] = [kindsSkipped(asked), kindsNotRun(asked)]
  return {
    kinds: asked.kinds.filter((kind) => !(kind in skipped) && !(kind in notRun)),
    leftOut: [
      ...Object.entries(skipped).map(([kind, why]) => `SKIPPED ${kind}: ${why}`),
      ...Object.entries(notRun).map(([kind, why]) => `NOT RUN ${kind}: ${why}`),
    ],
  }
}
