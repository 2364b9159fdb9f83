import type { Connections } from './connections.ts'
import { createDoorbellQueries, type DoorbellQueries } from './doorbell.ts'
import { createJournalWrites, type JournalWrites } from './journal.ts'
import { createLaneReads, type LaneReads } from './lane-reads.ts'
import { createMaintenanceQueries, type MaintenanceQueries } from './maintenance.ts'
import { createMembershipQueries, type MembershipQueries } from './membership.ts'
import { createMessageReads, type MessageReads } from './message-reads.ts'
import { createMoveScheduled, type MoveScheduled } from './scheduled.ts'
import { createSettles, type Settles } from './settles.ts'
import { createUnstorableQueries, type UnstorableQueries } from './unstorable.ts'

/** All that a relay asks of its database, each on the connection where it waits for nothing that is slow. */
export interface RelayQueries {
  readonly reads: MessageReads & LaneReads
  readonly scheduled: { readonly move: MoveScheduled; readonly unstorable: UnstorableQueries }
  readonly settles: Settles
  readonly membership: MembershipQueries
  readonly named: UnstorableQueries
  readonly doorbell: DoorbellQueries
  readonly journal: JournalWrites
  readonly maintenance: MaintenanceQueries
}

export interface RelayQueriesOptions {
  readonly schema: string
  readonly relayId: string
  readonly durableSettles: boolean
  readonly sequence: string
  readonly isSession: boolean
  readonly maxPayloadBytes: number
  readonly maxAttempts: number
}

export function createRelayQueries(
  { reader, settler, control }: Connections,
  { schema, relayId, durableSettles: isDurable, sequence, isSession, ...limits }: RelayQueriesOptions,
): RelayQueries {
  const ownPids = [reader.pid, settler.pid, control.pid]
  return {
    reads: {
      ...createMessageReads(reader, { schema, isSession, ...limits }),
      ...createLaneReads(reader, { schema, sequence, isSession, ownPids }),
    },
    scheduled: {
      move: createMoveScheduled(reader, { schema, isDurable }),
      unstorable: createUnstorableQueries(reader, schema),
    },
    settles: createSettles(settler, { schema, relayId, isDurable }),
    membership: createMembershipQueries(control, { schema, relayId }),
    named: createUnstorableQueries(control, schema),
    doorbell: createDoorbellQueries(control, reader, { schema, relayId }),
    journal: createJournalWrites(control, schema),
    maintenance: createMaintenanceQueries(control, schema),
  }
}
