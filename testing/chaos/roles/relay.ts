import { brokerKind } from '../brokers/broker.ts'
import { poolWithFailpoints, publisherWithFailpoints } from '../failpoints.ts'
import { nowMs } from '../journal.ts'
import { type Clock, createRelay, type RelayEvent, type RelayOptions, systemClock } from '../library.ts'
import { boundedPublisher, maxBufferedBytes } from './bounded-publisher.ts'
import { curableTopic, curingPublisher } from './curing-publisher.ts'
import { doomingPublisher } from './doom.ts'
import { hangingPublisher } from './hanging-publisher.ts'
import { journalingPublisher } from './journaling-publisher.ts'
import { holdPool } from './hold-pool.ts'
import { startRole } from './role.ts'
import { publisherVariant, poolVariant } from './variants.ts'

const role = startRole()
const { settings, journal, failpoints } = role
const { variant } = settings
const kind = await brokerKind(settings.broker.kind)

let clockOffsetMs = 0
const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + clockOffsetMs }

const broker = publisherWithFailpoints(kind.publisher(settings.broker), failpoints)
const curing = curingPublisher(broker)
const hanging = hangingPublisher(doomingPublisher(curing), { blocksAll: variant === 'hang-blocks-all' })
const journaling = journalingPublisher(publisherVariant(hanging, settings), journal)
const publisher = settings.defaults ? journaling : boundedPublisher(journaling, journal)
// The library's own limit is on trial, not the pool's.
const connections = role.pool({ max: 6, connectionTimeoutMillis: 0 })
const pool = poolWithFailpoints(poolVariant(connections, variant), failpoints, {
  onSettled: (ids) => journal.write({ what: 'settled', ids, atMs: nowMs() }),
})

const relay = createRelay({
  pool,
  publisher,
  clock,
  name: settings.name,
  leaseMs: settings.leaseMs,
  presence: settings.presence,
  ...(settings.defaults ? {} : hasty()),
  onEvent: note,
})
relay.start()
role.serve({
  stop: () => relay.stop({ graceMs: 2_000 }),
  hang: (isHung) => hanging.hang(isHung),
  cure: (isCured) => curing.cure(isCured),
  holdPool: (forMs) =>
    void holdPool(connections, forMs).then((held) => journal.write({ what: 'pool-held', held, atMs: nowMs() })),
  setClock: (offsetMs) => {
    clockOffsetMs = offsetMs
  },
})

/** Faults follow each other within seconds: so do attempts, and what waits or is kept must be little for a limit to be met. */
function hasty(): Partial<RelayOptions> {
  return {
    publishTimeoutMs: 2_000,
    databaseTimeoutMs: variant === 'waits-for-ever' ? 2 ** 31 - 1 : 6_000,
    maxBufferedBytes: variant === 'buffers-everything' ? 2 ** 30 : maxBufferedBytes,
    destinationBackoff: () => 100 + Math.random() * 200, // Outages of destinations follow each other closely.
    batchSize: 50,
    maxAttempts: 3,
    afterDeadLetter: (topic) => (topic === curableTopic ? 'hold' : 'skip'),
    backoff: () => 50 + Math.random() * 100,
    outageBackoff: () => 100 + Math.random() * 200,
    pollIntervalMs: 200,
  }
}

function note(event: RelayEvent): void {
  if (event.type === 'lanes.lost') journal.write({ what: 'session-lost', reason: event.reason, atMs: nowMs() })
  if (event.type === 'message.retry-scheduled') journal.write({ what: 'attempt-paid', id: event.id, atMs: nowMs() })
  if (event.type === 'rescan.found-missed')
    journal.write({ what: 'rescan-found-missed', messages: event.messages, atMs: nowMs() })
}
