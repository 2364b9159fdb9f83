import { type Clock, within } from '@malote/outbox-core/adapter'
import type { AssignedPartition } from './assigned-partition.ts'
import { type Assignment, createAssignment } from './assignment.ts'
import type { FetchedBatch, TopicPartition } from './client.ts'
import { type Committer, createCommitter } from './committer.ts'
import { createFlow, type Flow } from './flow.ts'
import { createGroup, type Group } from './group.ts'
import type { ResolvedKafkaConsumerOptions } from './options.ts'
import type { MessageHandler } from './handle-message.ts'

/** Takes records from the client, has them handled, and commits. */
export interface Receiver {
  start(): Promise<void>
  /** Waits for running handlers up to `graceMs`, commits, tells the rest to stop, and leaves the group. */
  stop(graceMs: number): Promise<void>
}

/** Longest a goodbye to a broker that may be away takes, in milliseconds: the commit, and leaving the group. */
const goodbyeMs = 1_000

export function createReceiver(options: ResolvedKafkaConsumerOptions, handle: MessageHandler, clock: Clock): Receiver {
  return new GroupReceiver(options, handle, clock)
}

class GroupReceiver implements Receiver {
  readonly #options: ResolvedKafkaConsumerOptions
  readonly #clock: Clock
  readonly #stopping = new AbortController()
  readonly #flow: Flow
  readonly #assignment: Assignment
  readonly #group: Group
  readonly #committer: Committer

  constructor(options: ResolvedKafkaConsumerOptions, handle: MessageHandler, clock: Clock) {
    const { consumer, offsets } = options
    this.#options = options
    this.#clock = clock
    this.#flow = createFlow(consumer, options.maxBufferedMessages)
    this.#assignment = createAssignment({
      handle,
      sequential: offsets !== null,
      maxAhead: options.maxBufferedMessages,
      onProgress: (partition) => {
        this.#committer.moved()
        this.#flow.regulate(partition)
      },
    })
    this.#group = createGroup(options, clock, this.#stopping.signal, {
      eachBatch: (fetched) => {
        this.#take(fetched)
        return Promise.resolve()
      },
      assigned: (places, afresh) => {
        for (const place of this.#assignment.set(places, afresh).added) this.#begin(place)
      },
      disconnected: (error) => void this.#assignment.loseAll(error),
    })
    this.#committer = createCommitter(
      consumer,
      () => this.#assignment.positions(),
      (done) => this.#assignment.committed(done),
      clock,
    )
  }

  start(): Promise<void> {
    return this.#group.start()
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort()
    for (const place of this.#assignment.places()) this.#flow.hold(place)
    await within(graceMs, this.#assignment.drainAll(), this.#clock)
    await within(goodbyeMs, this.#committer.flush(), this.#clock)
    void this.#assignment.loseAll(new Error('the consumer stopped before the handler ended'))
    await within(goodbyeMs, this.#group.leave(), this.#clock)
  }

  #take(fetched: FetchedBatch): void {
    const { topic, partition: number, messages } = fetched.batch
    const place = { topic, partition: number }
    const [first, last] = [messages[0], messages.at(-1)]
    // Not resolved, a batch comes again: after the seek, or when the partition is fetched from again.
    if (this.#stopping.signal.aborted) this.#flow.hold(place)
    if (first === undefined || last === undefined || this.#flow.isHeld(place) || fetched.isStale()) return
    if (this.#assignment.get(place)?.continues(first.offset) === false) this.#assignment.restart(place)
    const partition = this.#assignment.get(place)
    if (partition === undefined) return
    partition.take(messages)
    fetched.resolveOffset(last.offset)
    this.#flow.regulate(partition)
  }

  /** Where offsets are stored with the effect, nothing is taken before the stored one is known. */
  #begin(place: TopicPartition): void {
    this.#flow.forget(place)
    const partition = this.#assignment.get(place)
    if (this.#options.offsets === null || partition === undefined) return
    this.#flow.hold(place)
    void this.#storedOffset(place, partition).then((offset) => {
      if (this.#assignment.get(place) !== partition) return
      if (offset !== null) this.#options.consumer.seek({ ...place, offset })
      this.#flow.forget(place)
    })
  }

  async #storedOffset(place: TopicPartition, partition: AssignedPartition): Promise<string | null> {
    const { offsets, reconnectBackoff, report } = this.#options
    const { signal } = this.#stopping
    for (let failures = 1; this.#assignment.get(place) === partition && !signal.aborted; failures++) {
      try {
        return (await offsets?.load(place)) ?? null
      } catch (error) {
        const retryInMs = reconnectBackoff(failures)
        report({ type: 'consumer.disconnected', error, retryInMs })
        await this.#clock.sleep(retryInMs, signal)
      }
    }
    return null
  }
}
