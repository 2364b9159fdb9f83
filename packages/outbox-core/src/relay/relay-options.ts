import type { Backoff } from '../backoff.ts'
import type { Clock } from '../clock.ts'
import type { RelayEvent } from '../events.ts'
import type { Publisher } from '../publisher.ts'
import type { MaintenanceOptions } from './maintenance-options.ts'
import type { RelayPool } from '../postgres/connections.ts'

/**
 * How a relay works: from which pool to which publisher, how much at a time, and when it gives up. Only `pool` and `publisher` have no default;
 * the others are for those who have measured that they need another value.
 */
export interface RelayOptions {
  readonly pool: RelayPool
  readonly publisher: Publisher
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** Shown to operators. @defaultValue host name and process id */
  readonly name?: string
  /** Most messages in one publish. @defaultValue 500: below it the round trips count, above it nothing is gained */
  readonly batchSize?: number
  /** Publishes under way at the same time. @defaultValue 4 */
  readonly concurrency?: number
  /**
   * Most messages read ahead and not yet settled.
   *
   * @defaultValue 4_000: twice what the defaults publish at a time; less starves a slow broker, more is only memory
   */
  readonly maxBufferedMessages?: number
  /** Most bytes of bodies in memory, unless one message alone has more, or is sent to try a destination that takes nothing: read ahead, in flight, or not yet settled. @defaultValue 16 MiB */
  readonly maxBufferedBytes?: number
  /**
   * Largest body that is published, in bytes. What is larger becomes a dead letter (`TOO_LARGE`) without being read, so that it
   * cannot end the process.
   *
   * @defaultValue 64 MiB: what the table lets in
   */
  readonly maxPayloadBytes?: number
  /**
   * Most bytes of bodies in one publish, unless one message alone has more.
   *
   * @defaultValue 8 MiB: half of what is read ahead, so that the next batch is there when one has been sent
   */
  readonly maxBatchBytes?: number
  /**
   * Longest one publish may take before it is aborted, in milliseconds. What has no answer by then counts as an outage: of its
   * destinations when anything else gets through, of the broker when nothing does.
   *
   * @defaultValue 10_000
   */
  readonly publishTimeoutMs?: number
  /**
   * Longest time a relay may hold its lanes without renewing them, in milliseconds.
   *
   * When it runs out another relay takes the lanes over and may publish what was in flight a second time, so keep it
   * comfortably above `publishTimeoutMs`. Raising it makes recovery after a hang slower, not publishing safer.
   *
   * @defaultValue 30_000: three publish timeouts
   */
  readonly leaseMs?: number
  /**
   * Longest the relay waits for the database, in milliseconds: for a connection, and for the answer to a statement. Then the
   * connection counts as dead and the relay connects again. On a session connection the server ends a statement of the relay a
   * little earlier, whatever `statement_timeout` the role has, and a transaction of the relay that waits this long for its next statement.
   *
   * @defaultValue 30_000: no statement of the relay takes a second on a healthy server
   */
  readonly databaseTimeoutMs?: number
  /**
   * Longest pause between two looks at the table, in milliseconds. The relay pauses so long only while nothing comes and the doorbell is
   * heard, or nobody listens; while messages come it looks sooner. @defaultValue 1_000
   */
  readonly pollIntervalMs?: number
  /**
   * Shortest time from one look at the table that found messages, and took all of them, to the next, in milliseconds. Trades latency for fewer and larger reads
   * and publishes: worth it where messages come steadily, and the database or the broker has other work. The first message after a pause, and a
   * backlog, do not wait for it.
   *
   * @defaultValue 0: what is there is read at once
   */
  readonly lingerMs?: number
  /**
   * How long a look below the floor of all lanes takes, a sixteenth of them at a time, in milliseconds. It finds what a writer of
   * seq values outside our rules left behind, and reports `rescan.found-missed`.
   *
   * @defaultValue 60_000: nothing is ever found unless rules are broken
   */
  readonly rescanIntervalMs?: number
  /** Attempts after which a failing message becomes a dead letter. @defaultValue 10 */
  readonly maxAttempts?: number
  /** Pause after a failed attempt. @defaultValue exponential from 1 s to 5 min with full jitter */
  readonly backoff?: Backoff
  /** Pause while the broker is out of reach, from the 1-based failure in a row. @defaultValue exponential from 200 ms to 30 s with full jitter */
  readonly outageBackoff?: Backoff
  /**
   * Pause before a destination that takes nothing is tried again, from the 1-based failure in a row. Other destinations do not
   * wait meanwhile.
   *
   * @defaultValue exponential from 200 ms to 1.6 s, drawn between half of it and all: trying costs a few messages, and what waits
   * goes on within two seconds after somebody has mended it, the time to read it again included
   */
  readonly destinationBackoff?: Backoff
  /**
   * What happens to an ordering key behind a dead letter. `hold`: it waits for an operator, because order was promised.
   * `skip`: it goes on without the dead message. A function decides by topic.
   *
   * @defaultValue "hold"
   */
  readonly afterDeadLetter?: 'hold' | 'skip' | ((topic: string) => 'hold' | 'skip')
  /**
   * What becomes of a message that is published. `delete`: its row is gone. `archive`: its row moves, in the same statement, to
   * `archived_messages`, which has a partition for each day; `malote messages` finds it there until its day is dropped
   * (`maintenance.archiveDays`). Archiving costs a second write for each message. A function decides by topic. Needs the
   * migrations of this version, and says `SCHEMA_MISSING` without.
   *
   * @defaultValue "delete": what is published is the broker's, and a small table is a fast one
   */
  readonly afterPublish?: 'delete' | 'archive' | ((topic: string) => 'delete' | 'archive')
  /** What the relays do besides: one of them at a time, in small steps. @see MaintenanceOptions */
  readonly maintenance?: MaintenanceOptions
  /** Wake by LISTEN/NOTIFY as well as by polling. Needs a session connection (no transaction-mode pooler). @defaultValue true */
  readonly doorbell?: boolean
  /** Tell other relays at once when this process dies, by a session advisory lock. Needs a session connection. Turn it off, and `doorbell` too, behind a transaction-mode pooler. @defaultValue true */
  readonly presence?: boolean
  /**
   * Wait for the server's disk on the relay's own commits. False loses, in a server crash, only the note that a message was
   * published: it is published again, never lost.
   *
   * @defaultValue false
   */
  readonly durableSettles?: boolean
  /**
   * Told what happens. Must not throw; a throw is reported once on `process.emitWarning`.
   *
   * @defaultValue what keeps messages from moving becomes a process warning on stderr, once until it is over
   */
  readonly onEvent?: (event: RelayEvent) => void
  /** @defaultValue the system's clock */
  readonly clock?: Clock
}
