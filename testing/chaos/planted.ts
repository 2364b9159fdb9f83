import { chaosArguments } from './arguments.ts'
import { type ChaosRun, runChaos } from './run-chaos.ts'
import type { FaultKind } from './plan.ts'
import type { Variant } from './roles/role.ts'

/** A guard taken out of the relays, the fault that it guards against, and how a run shows that it is missing. */
interface Planted {
  readonly variant: Variant
  readonly fault: FaultKind
  readonly flags?: readonly string[]
  readonly isSeen: (run: ChaosRun) => boolean
}

const isStuck = ({ report, health }: ChaosRun): boolean =>
  report.undelivered.length > 0 || health.drain.left > 0 || health.idle.length > 0

/** Each shows that the runner would notice. They wait for what never comes, so they belong to the soak and not to the tests. */
export const planted: readonly Planted[] = [
  // Alone, because another relay would take the lanes over, and once, because the next fault would cut it loose.
  { variant: 'waits-for-ever', fault: 'black-hole', flags: ['--relays', '1', '--every', '12000'], isSeen: isStuck },
  { variant: 'lanes-stay-away', fault: 'truncate', isSeen: ({ health }) => health.missingLanes > 0 },
  { variant: 'buffers-everything', fault: 'large-bodies', isSeen: ({ health }) => health.overfull.length > 0 },
  // Apart, so that one hang is not taken for the cause of what another does.
  {
    variant: 'hang-blocks-all',
    fault: 'hung-destination',
    flags: ['--every', '12000'],
    isSeen: ({ health }) => health.starved.length > 0,
  },
]

/** Runs one on the log. @returns whether it was seen */
export async function isPlantedSeen({ variant, fault, flags = [], isSeen }: Planted, seed: number): Promise<boolean> {
  const few = ['--broker', 'log', '--relays', '2', '--consumers', '1', '--minutes', '0.2', '--every', '3000']
  const rest = ['--drain', '8', '--seed', String(seed)]
  return isSeen(
    await runChaos(chaosArguments([...few, ...rest, '--variant', variant, '--faults', fault, ...flags], () => {})),
  )
}
