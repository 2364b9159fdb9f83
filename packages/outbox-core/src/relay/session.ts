import { type Connections, openConnections } from '../postgres/connections.ts'
import { createRelayQueries } from '../postgres/relay-queries.ts'
import { uuidv7 } from '../uuid.ts'
import { Backlog } from './backlog.ts'
import { ControlLoop } from './control-loop.ts'
import { Dispatcher } from './dispatcher.ts'
import { Doorbell } from './doorbell.ts'
import { EndingsFollowed } from './endings.ts'
import { type DatabaseFacts, examine } from './examine.ts'
import { createFloor } from './floor.ts'
import { Journal } from './journal.ts'
import { Lanes } from './lanes.ts'
import { Maintenance } from './maintenance.ts'
import { Membership } from './membership.ts'
import { ReadLoop } from './read-loop.ts'
import { Reader, type ReaderParts } from './reader.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'
import { Scheduled } from './scheduled.ts'
import { Settler } from './settle.ts'
import { SessionLost } from './session-lost.ts'
import { createTrial } from './trial.ts'

/** A session that lived this long without a failure was a good one, in milliseconds. */
const provenAfterMs = 5_000

/**
 * After the grace of `stop` a publisher has a second to say what it knows, and what it said is settled. A database that is
 * silent then is not waited for, in milliseconds.
 */
const settleGraceMs = 1_500

/**
 * Everything a relay knows while its connections live: identity, lanes, floors, what is buffered. With any lost connection
 * all of it is void (the server may have failed over and gone back in time), and the next session starts from nothing.
 */
export class Session {
  readonly relayId: string = uuidv7()
  readonly #options: ResolvedRelayOptions
  readonly #connections: Connections
  readonly #lanes = new Lanes()
  readonly #floor = createFloor(20_000)
  readonly #backlog: Backlog
  readonly #membership: Membership
  readonly #doorbell: Doorbell
  readonly #endings: EndingsFollowed
  readonly #settler: Settler
  readonly #dispatcher: Dispatcher
  readonly #reader: Reader
  readonly #readLoop: ReadLoop
  readonly #control: ControlLoop
  readonly #journal: Journal
  readonly #maintenance: Maintenance
  readonly #lost = Promise.withResolvers<never>()
  readonly #isSession: boolean
  #isOver = false
  #stopping: Promise<void> | null = null
  #hasFailed = false
  readonly #openedAtMs: number

  /**
   * Connects and joins the other relays. The relays `formerIds` of this process are taken off the list, because nothing of
   * them is in flight any more. The new one is noted there before it joins: its answer may be lost on the way.
   *
   * @throws OutboxError `SCHEMA_MISSING`, `SCHEMA_UNSUPPORTED`
   */
  static async open(options: ResolvedRelayOptions, formerIds: Set<string>, signal: AbortSignal): Promise<Session> {
    const early: unknown[] = []
    let session: Session | undefined
    const onLost = (error: unknown): void => {
      early.push(error)
      session?.fail('connection-lost', error)
    }
    const limits = { timeoutMs: options.databaseTimeoutMs, signal }
    const connections = await openConnections(options.pool, options.clock, onLost, limits)
    const destroy = (): void => connections.destroy()
    signal.addEventListener('abort', destroy)
    try {
      signal.throwIfAborted()
      session = new Session(options, connections, await examine(connections, options))
      for (const id of formerIds) {
        await session.#membership.remove(id)
        formerIds.delete(id)
      }
      formerIds.add(session.relayId)
      await session.#membership.join()
      if (early.length > 0) throw early[0]
      return session
    } catch (error) {
      connections.destroy()
      throw error
    } finally {
      signal.removeEventListener('abort', destroy)
    }
  }

  private constructor(options: ResolvedRelayOptions, connections: Connections, facts: DatabaseFacts) {
    const { clock, report, name, leaseMs, isArchived } = options
    const { relayId } = this
    this.#options = options
    this.#connections = connections
    this.#isSession = facts.isSession
    this.#openedAtMs = clock.monotonicMs()
    this.#lost.promise.catch(() => {}) // Awaited in `run`; a session that is stopped at the same time has no one to tell.
    const queries = createRelayQueries(connections, { ...options, ...facts, relayId })
    const onLost = (reason: SessionLost['reason'], cause: unknown): void => this.fail(reason, cause)
    this.#backlog = new Backlog(this.#lanes, this.#floor, options.routes.of)
    this.#journal = new Journal(queries.journal, clock)
    this.#maintenance = new Maintenance({ ...options, queries: queries.maintenance })
    this.#describe(null)
    this.#endings = new EndingsFollowed({
      backlog: this.#backlog,
      journal: this.#journal,
      report,
      readLoop: () => this.#readLoop,
      onProgress: () => this.#progressed(),
    })
    const onUnstorable = this.#endings.unstorable.bind(this.#endings)
    this.#membership = new Membership({
      queries: queries.membership,
      unstorable: queries.named,
      onUnstorable,
      name,
      leaseMs,
      lanes: this.#lanes,
      clock,
      presence: options.presence && facts.isSession,
    })
    this.#doorbell = new Doorbell({
      queries: queries.doorbell,
      relayId,
      clock,
      onRing: (reason) => this.#rung(reason),
    })
    const writes = queries.settles
    const nowMs = (): number => clock.monotonicMs()
    this.#settler = new Settler({ writes, lanes: this.#lanes, isArchived, endings: this.#endings, onLost, nowMs })
    const trial = createTrial({ writes, settler: this.#settler, onLost })
    const limits = { maxMessages: options.maxBufferedMessages, maxBytes: options.maxBufferedBytes }
    this.#reader = new Reader({ ...options, ...limits, ...this.#memory(), reads: queries.reads, trial })
    this.#dispatcher = new Dispatcher({
      backlog: this.#backlog,
      options,
      settler: this.#settler,
      trial,
      isTrusted: () => this.#membership.isTrusted,
      onProgress: () => this.#progressed(),
      onReadable: () => this.#readLoop.readable(),
    })
    const loops = { ...this.#memory(), clock, report, dispatcher: this.#dispatcher }
    this.#readLoop = new ReadLoop({
      ...loops,
      reader: this.#reader,
      scheduled: new Scheduled({ ...queries.scheduled, afterDeadLetter: options.afterDeadLetter, onUnstorable }),
      doorbell: this.#doorbell,
      pacing: options,
      minSpace: Math.max(1, options.maxBufferedMessages >> 2),
    })
    this.#control = new ControlLoop({
      ...loops,
      membership: this.#membership,
      readLoop: this.#readLoop,
      journal: this.#journal,
      maintenance: this.#maintenance,
      leaseMs,
      onExpired: () => onLost('lease-expired', new Error('the lease ran out before it was renewed')),
    })
  }

  /** Works until `stop` or a failure. @throws SessionLost */
  async run(): Promise<void> {
    const { report, doorbell } = this.#options
    report({ type: 'relay.started', relayId: this.relayId })
    const loops = [this.#control.run(), this.#readLoop.run()]
    if (doorbell) loops.push(this.#listen())
    await this.#untilOver(Promise.all(loops))
  }

  /** Publishes what is due now and comes back. @returns false when the broker was out of reach */
  async drain(): Promise<boolean> {
    await this.#control.look()
    const control = this.#control.run()
    this.#readLoop.waitingDueIn(0)
    this.#readLoop.scheduledDueIn(0)
    await this.#untilOver(Promise.race([this.#drained(), control]))
    return !this.#dispatcher.isOut && this.#dispatcher.openBreakers.length === 0
  }

  /** Finishes what is in flight within `graceMs`, aborts the rest, settles, and frees the lanes at once. */
  stop(graceMs: number): Promise<void> {
    return (this.#stopping ??= this.#stop(graceMs))
  }

  async #stop(graceMs: number): Promise<void> {
    const { clock } = this.#options
    const timers = [
      clock.after(graceMs, () => this.#dispatcher.abort()),
      clock.after(graceMs + settleGraceMs, () =>
        this.fail('connection-lost', new Error('the database did not answer while the relay stopped')),
      ),
    ]
    try {
      this.#maintenance.stop()
      this.#readLoop.stop()
      await Promise.race([this.#dispatcher.stop(), this.#lost.promise])
      await Promise.race([this.#control.stop(), this.#lost.promise])
      await Promise.race([this.#settler.idle(), this.#lost.promise])
      await Promise.race([this.#journal.write(true), this.#lost.promise])
      await Promise.race([this.#membership.leave(), this.#lost.promise])
      this.#isOver = true
      this.#connections.destroy()
    } finally {
      for (const cancel of timers) cancel()
    }
  }

  /** Ends the session: nothing more is published, everything in memory is void. */
  fail(reason: SessionLost['reason'], cause: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#hasFailed = true
    this.#maintenance.stop()
    this.#readLoop.stop()
    void this.#control.stop()
    this.#lost.reject(new SessionLost(reason, cause))
  }

  /** Closes the connections after a failure and waits until no publisher call is in flight. */
  async abandon(): Promise<void> {
    this.#connections.destroy()
    const published = this.#dispatcher.stop()
    this.#dispatcher.abort()
    await published
  }

  /** It settled something, or lived for a while: its connections and grants are good. */
  get isProven(): boolean {
    return this.#endings.hasSettled || this.#options.clock.monotonicMs() - this.#openedAtMs > provenAfterMs
  }

  get lanes(): readonly number[] {
    return this.#lanes.numbers()
  }

  async #untilOver(work: Promise<unknown>): Promise<void> {
    const failing = work.catch((error: unknown) => this.fail('connection-lost', error))
    await Promise.race([failing, this.#lost.promise])
    if (this.#hasFailed) await this.#lost.promise
  }

  async #drained(): Promise<void> {
    while (!this.#dispatcher.isOut && this.#stopping === null) {
      const { isBusy } = await this.#readLoop.round()
      if (isBusy) continue
      const mayBeMore = this.#reader.isShortOfBytes || this.#readLoop.mustReload
      if (this.#backlog.count === 0 && !mayBeMore) return
      await this.#readLoop.rest()
    }
  }

  async #listen(): Promise<void> {
    const isHeard = this.#isSession && (await this.#doorbell.listen())
    this.#describe(isHeard)
    if (isHeard) return
    const reason = this.#isSession
      ? 'LISTEN is accepted but nothing is heard: polling only'
      : 'the connections share backends with others, as through a transaction-mode pooler: polling only, and a dead relay is replaced after its lease'
    this.#options.report({ type: 'doorbell.unavailable', reason })
  }

  /** Tells operators how this relay works. */
  #describe(hearsDoorbell: boolean | null): void {
    const { leaseMs, publishTimeoutMs, doorbell, presence } = this.#options
    this.#journal.describe({
      relayId: this.relayId,
      leaseMs,
      publishTimeoutMs,
      hasSession: doorbell || presence ? this.#isSession : null,
      hearsDoorbell,
    })
  }

  #rung(reason: string): void {
    if (reason === 'lanes') return this.#control.wake()
    if (reason === 'keys') {
      this.#readLoop.waitingDueIn(0)
      this.#readLoop.reloadBlocks()
    }
    this.#readLoop.wake()
  }

  #progressed(): void {
    this.#readLoop.wake()
    this.#control.progressed()
  }

  #memory(): Pick<ReaderParts, 'floor' | 'lanes' | 'backlog'> {
    return { floor: this.#floor, lanes: this.#lanes, backlog: this.#backlog }
  }
}
