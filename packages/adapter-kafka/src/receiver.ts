import type { Clock } from '@malote/outbox-core/adapter'
import type { AssignedPartition } from './assigned-partition.ts'
import { createAssignment } from './assignment.ts'
import type { FetchedBatch, TopicPartition } from './client.ts'
import { createCommitter } from './committer.ts'
import { createFlow } from './flow.ts'
import { createGroup } from './group.ts'
import type { ResolvedKafkaConsumerOptions } from './options.ts'
import type { RecordHandler } from './record-handler.ts'
import { within } from './within.ts'

/** Takes records from the client, has them handled, and commits. */
export interface Receiver {
  start(): Promise<void>
  /** Waits for running handlers up to `graceMs`, commits, tells the rest to stop, and leaves the group. */
  stop(graceMs: number): Promise<void>
}

/** Longest a goodbye to a broker that may be away takes, in milliseconds: the commit, and leaving the group. */
const goodbyeMs = 1_000

export function createReceiver(options: ResolvedKafkaConsumerOptions, handle: RecordHandler, clock: Clock): Receiver {
  const { consumer, offsets, report } = options
  const stopping = new AbortController()
  const flow = createFlow(consumer, options.maxBufferedMessages)
  const assignment = createAssignment({
    handle,
    report,
    sequential: offsets !== null,
    onProgress: (partition) => {
      committer.moved()
      flow.regulate(partition)
    },
  })
  const group = createGroup(options, clock, stopping.signal, {
    eachBatch,
    assigned: (places, afresh) => {
      for (const place of assignment.set(places, afresh).added) begin(place)
    },
    disconnected: (error) => void assignment.loseAll(error),
  })
  const committer = createCommitter(
    consumer,
    () => (group.refresh(), assignment.positions()),
    (positions) => assignment.committed(positions),
    clock,
  )

  /** Where the offset is stored with the effect, nothing is taken before it is known. */
  function begin(place: TopicPartition): void {
    flow.forget(place)
    const partition = assignment.get(place)
    if (offsets === null || partition === undefined) return
    flow.hold(place)
    void offsetOf(place, partition).then((offset) => {
      if (assignment.get(place) !== partition) return
      if (offset !== null) consumer.seek({ ...place, offset })
      flow.forget(place)
    })
  }

  async function offsetOf(place: TopicPartition, partition: AssignedPartition): Promise<string | null> {
    for (let failures = 1; assignment.get(place) === partition && !stopping.signal.aborted; failures++) {
      try {
        return (await offsets?.load(place)) ?? null
      } catch (error) {
        const retryInMs = options.reconnectBackoff(failures)
        report({ type: 'consumer.disconnected', error, retryInMs })
        await clock.sleep(retryInMs, stopping.signal)
      }
    }
    return null
  }

  function eachBatch(fetched: FetchedBatch): Promise<void> {
    const { topic, partition: number, messages } = fetched.batch
    const place = { topic, partition: number }
    const [first, last] = [messages[0], messages.at(-1)]
    // Not resolved, a batch comes again: after the seek, or when the partition is fetched from again.
    if (stopping.signal.aborted) flow.hold(place)
    if (first === undefined || last === undefined || flow.isHeld(place) || fetched.isStale()) return Promise.resolve()
    if (assignment.get(place)?.continues(first.offset) === false) assignment.restart(place)
    const partition = assignment.get(place)
    if (partition === undefined) return Promise.resolve()
    partition.take(messages)
    fetched.resolveOffset(last.offset)
    flow.regulate(partition)
    return Promise.resolve()
  }

  return {
    start: () => group.start(),
    stop: async (graceMs) => {
      stopping.abort()
      for (const place of assignment.places()) flow.hold(place)
      await within(graceMs, assignment.drainAll(), clock)
      await within(goodbyeMs, committer.flush(), clock)
      void assignment.loseAll(new Error('the consumer stopped before the handler ended'))
      await within(goodbyeMs, group.leave(), clock)
    },
  }
}
