import { spawnSync } from 'node:child_process'
import type { BrokerName } from './brokers/broker.ts'
import { whyNoDatabaseClock } from './database-clock.ts'
import { whyNoNamespaces } from './namespaces.ts'
import type { FaultKind } from './plan.ts'

/** Why a kind of fault cannot be done to this broker on this machine; null: it can. */
function whyNotHere(kind: FaultKind, broker: BrokerName): string | null {
  switch (kind) {
    case 'move-database-clock':
      return whyNoDatabaseClock()
    case 'partition-database':
      return whyNoNamespaces()
    case 'partition-broker':
      return broker === 'log' ? 'a file is not behind a network' : whyNoNamespaces()
    case 'broker-disk-full':
      return whyNoFullDisk(broker)
    default:
      return null
  }
}

function whyNoFullDisk(broker: BrokerName): string | null {
  if (broker === 'rabbitmq') return null
  if (broker !== 'kafka') return `${broker} has no disk of its own that could be full`
  return spawnSync('prlimit', ['--version']).status === 0 ? null : 'the command `prlimit` (util-linux) is missing'
}

interface Asked {
  readonly kinds: readonly FaultKind[]
  readonly broker: BrokerName
}

/** Of the kinds that a run is asked for: which cannot be done here, and why. */
export function kindsNotRun({ kinds, broker }: Asked): Record<string, string> {
  return Object.fromEntries(
    [...new Set(kinds)].flatMap((kind) => {
      const why = whyNotHere(kind, broker)
      return why === null ? [] : [[kind, why]]
    }),
  )
}
