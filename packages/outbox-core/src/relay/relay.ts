import { exponentialBackoff } from '../backoff.ts'
import { OutboxError } from '../errors.ts'
import type { RelayEvent } from '../events.ts'
import { numberOption } from '../options.ts'
import type { RelayOptions } from './relay-options.ts'
import { type ResolvedRelayOptions, resolveRelayOptions } from './resolved-options.ts'
import { Session } from './session.ts'
import { SessionLost } from './session-lost.ts'
import { createWake } from './wake.ts'

/** What `runOnce` did. */
export interface RelayReport {
  readonly published: number
  /** Failed, and will be tried again. */
  readonly retried: number
  readonly deadLettered: number
  /** The broker was out of reach, so that messages which are due may be left. */
  readonly isBrokerOut: boolean
}

/**
 * Carries messages from the outbox to a broker, at least once and in order per topic and key. Any number of relays share
 * the work; a message may be published again after a crash or a lost connection.
 */
export interface Relay {
  /**
   * Starts working in the background and comes back at once. Whatever goes wrong is reported as an event and tried again.
   *
   * @throws OutboxError `RELAY_STATE` when it is running or was stopped
   */
  start(): void
  /**
   * Publishes what is due now, settles, frees its lanes and reports: for cron and serverless. Lanes of other live relays are
   * left to them. Messages of transactions still open are not due.
   *
   * @throws OutboxError `RELAY_STATE` when it is running, `SCHEMA_MISSING`, `SCHEMA_UNSUPPORTED`. Database errors come through.
   */
  runOnce(): Promise<RelayReport>
  /**
   * Reads no more, waits for what is in flight, settles it and frees the lanes at once. After `graceMs` publishes are
   * aborted; their messages come again later. Resolves when all is quiet, and within `graceMs` and two seconds whatever the
   * database or the publisher do. A `runOnce` under way ends early and reports what it did. Calling it twice is harmless.
   *
   * @param options.graceMs - from 0 to a day; default: the publish timeout
   * @throws OutboxError `INVALID_OPTION`: then nothing is stopped
   */
  stop(options?: { readonly graceMs?: number }): Promise<void>
}

/**
 * Creates a relay. It takes three connections from the pool for as long as it runs and closes them afterwards, because they
 * carry session state (a lock, LISTEN).
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createRelay(options: RelayOptions): Relay {
  return new PostgresRelay(resolveRelayOptions(options))
}

/** Pause before connecting again: short at first, because a failover is over in seconds. */
const reconnectBackoff = exponentialBackoff({ baseMs: 200, maxMs: 5_000 })

/** Nobody waits longer for a relay to stop. */
const longestGraceMs = 24 * 60 * 60 * 1000

class PostgresRelay implements Relay {
  readonly #options: ResolvedRelayOptions
  readonly #wake
  #state: 'idle' | 'running' | 'stopped' = 'idle'
  #graceMs: number
  #session: Session | null = null
  /** Identities of this process that may still hold lanes. */
  readonly #formerIds = new Set<string>()
  #lastId = ''
  #work: Promise<unknown> = Promise.resolve()
  /** Gives up connecting. */
  readonly #opening = new AbortController()

  constructor(options: ResolvedRelayOptions) {
    this.#options = options
    this.#graceMs = options.publishTimeoutMs
    this.#wake = createWake(options.clock)
  }

  start(): void {
    this.#begin()
    this.#work = this.#run()
  }

  runOnce(): Promise<RelayReport> {
    try {
      this.#begin()
    } catch (error) {
      return Promise.reject(error)
    }
    const work = this.#once()
    this.#work = work.catch(() => {}) // Its caller hears of it; `stop` only waits.
    return work
  }

  async #once(): Promise<RelayReport> {
    const counter = createCounter(this.#options)
    try {
      const session = await Session.open(counter.options, this.#formerIds, this.#opening.signal)
      this.#session = session
      let isBrokerOut = false
      try {
        isBrokerOut = !(await session.drain())
        await session.stop(this.#graceMs)
      } catch (error) {
        await session.abandon()
        throw error instanceof SessionLost ? error.cause : error
      }
      return { ...counter.counts, isBrokerOut }
    } finally {
      this.#session = null
      if (this.#state === 'running') this.#state = 'idle'
    }
  }

  async stop(options: { readonly graceMs?: number } = {}): Promise<void> {
    this.#graceMs = numberOption('graceMs', options.graceMs, this.#graceMs, { min: 0, max: longestGraceMs })
    const session = this.#session
    const wasRunning = this.#state === 'running'
    this.#state = 'stopped'
    this.#wake.now()
    if (session === null) this.#opening.abort()
    // A session lost at this very moment ends the loop by itself.
    if (wasRunning) await session?.stop(this.#graceMs).catch(() => {})
    await this.#work
  }

  #begin(): void {
    if (this.#state !== 'idle') {
      throw new OutboxError('RELAY_STATE', `the relay is ${this.#state}: create another one to run beside or after it`)
    }
    this.#state = 'running'
  }

  /** One session after another until stopped. Never rejects, never spins. */
  async #run(): Promise<void> {
    const { report } = this.#options
    for (let failures = 0; this.#state === 'running';) {
      try {
        const session = await Session.open(this.#options, this.#formerIds, this.#opening.signal)
        this.#session = session
        this.#lastId = session.relayId
        if (failures > 0) report({ type: 'database.reconnected' })
        if (this.#isStopped()) await session.stop(0)
        else await session.run()
      } catch (error) {
        // A session that fails as soon as it works (a missing grant, say) is no success, and publishes the same again.
        if (this.#session?.isProven === true) failures = 0
        await this.#lost(error, ++failures)
      }
    }
    report({ type: 'relay.stopped', relayId: this.#lastId })
  }

  async #lost(error: unknown, failures: number): Promise<void> {
    const { report } = this.#options
    const session = this.#session
    this.#session = null
    if (session !== null) {
      const reason = error instanceof SessionLost ? error.reason : 'connection-lost'
      report({ type: 'lanes.lost', lanes: session.lanes, reason })
      await session.abandon()
    }
    if (this.#isStopped()) return
    const cause = error instanceof SessionLost ? error.cause : error
    const retryInMs = reconnectBackoff(failures) + 20
    report({ type: 'database.disconnected', error: cause, retryInMs })
    await this.#wake.wait(retryInMs)
  }

  #isStopped(): boolean {
    return this.#state === 'stopped'
  }
}

/** Counts what the events tell, and passes them on. */
function createCounter(options: ResolvedRelayOptions): {
  readonly options: ResolvedRelayOptions
  readonly counts: { published: number; retried: number; deadLettered: number }
} {
  const counts = { published: 0, retried: 0, deadLettered: 0 }
  const report = (event: RelayEvent): void => {
    if (event.type === 'batch.published') counts.published += event.messages
    if (event.type === 'message.retry-scheduled') counts.retried++
    if (event.type === 'message.dead-lettered') counts.deadLettered++
    options.report(event)
  }
  return { options: { ...options, report }, counts }
}
