import type { Benchmark } from '../harness/benchmark.ts'
import { addMany } from './add-many.ts'
import { addOne } from './add-one.ts'
import { backlog } from './backlog.ts'
import { blockedKey } from './blocked-key.ts'
import { blockedKeys } from './blocked-keys.ts'
import { brokerage } from './brokerage.ts'
import { brokersQuestion } from './brokers.ts'
import { coldStartQuestion } from './cold-start.ts'
import { commits } from './commits.ts'
import { consumerMemory } from './consumer-memory.ts'
import { consumers } from './consumers.ts'
import { cpu } from './cpu.ts'
import { deadBacklog, deadDestinations } from './dead-destinations.ts'
import { doorbell } from './doorbell.ts'
import { drainQuestion } from './drain.ts'
import { freshTable } from './fresh-table.ts'
import { hotAccount } from './hot-account.ts'
import { hotKey } from './hot-key.ts'
import { idempotentRoutes, inboxQuestion, requestBatches } from './idempotency.ts'
import { idle } from './idle.ts'
import { latency } from './latency.ts'
import { memory } from './memory.ts'
import { oldSnapshot } from './old-snapshot.ts'
import { recovery } from './recovery.ts'
import { scheduled } from './scheduled.ts'
import { slowBroker } from './slow-broker.ts'
import { twoRelays } from './two-relays.ts'

/** Every question, in the order of the table. */
export const questions: readonly Benchmark[] = [
  drainQuestion,
  hotKey,
  freshTable,
  backlog,
  oldSnapshot,
  slowBroker,
  scheduled,
  blockedKey,
  blockedKeys,
  recovery,
  deadDestinations,
  deadBacklog,
  twoRelays,
  addOne,
  addMany,
  commits,
  doorbell,
  latency,
  coldStartQuestion,
  cpu,
  memory,
  idle,
  brokersQuestion,
  idempotentRoutes,
  requestBatches,
  inboxQuestion,
  hotAccount,
  consumers,
  consumerMemory,
  brokerage,
]
