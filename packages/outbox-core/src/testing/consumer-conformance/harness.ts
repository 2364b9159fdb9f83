import type { RedriveOptions, RedriveReport } from '../../adapter/redrive.ts'
import type { Consumer, ConsumerOptions } from '../../consumer.ts'
import type { ConsumerStore } from '../../consumer-store.ts'
import type { HeldStreams } from '../../held-streams.ts'
import type { DeadLetterNote } from '../../dead-letter-note.ts'
import type { OutboxMessage } from '../../message.ts'

/** A message in the place for dead letters, as an operator finds it. */
export interface HeldDeadLetter {
  /** Null when the record was not one of ours. */
  readonly id: string | null
  readonly body: Uint8Array
  /** What the adapter noted on it. */
  readonly note: DeadLetterNote | null
}

/**
 * How the consumer kit reaches a real broker. One harness serves all cases, one after the other; every case asks for topics of
 * its own. Leave out an optional part only together with an entry in the absences that says why the broker has none.
 */
export interface ConsumerHarness {
  /** A topic that nobody else uses, with its destination and its place for dead letters, both empty. */
  freshTopic(): Promise<string>
  /** A consumer of the topic, not started. Consumers of one topic share its messages. The case stops it. */
  createConsumer(topic: string, options: ConsumerOptions): Promise<Consumer>
  /** Publishes through the adapter's own publisher; resolves when all are accepted. */
  send(messages: readonly OutboxMessage[]): Promise<void>
  /** Puts a record into the topic that no publisher of ours made: this body, no attributes. */
  sendForeign(topic: string, body: string): Promise<void>
  /** What lies in the topic's place for dead letters now. Need not remove it. */
  deadLetters(topic: string): Promise<readonly HeldDeadLetter[]>
  /** Cuts the consumer off for good, as SIGKILL or a dead network does: nothing it says afterwards reaches the broker. */
  crash(consumer: Consumer): Promise<void>
  /** Longest the broker takes to give a crashed consumer's messages to another one, in milliseconds. */
  readonly redeliveryMs: number
  /** Longest a case waits for anything else, in milliseconds. */
  readonly patienceMs: number

  /** Set when messages of one key reach the handlers of one consumer in the order they were sent. */
  readonly ordersByKey?: true
  /** Set when messages behind a failed one of their key wait for it. */
  readonly ordersRetries?: true
  /** Set when messages of one key are never with two consumers at the same time. */
  readonly ordersAcrossConsumers?: true
  /** Set when a handler made by `inBatches` with `byStream` is given several messages of a stream together. */
  readonly takesStreamsInBatches?: true
  /** How long the broker leaves a message with a consumer that does not extend its hold, in milliseconds. */
  readonly holdTimeoutMs?: number
  /** A store for a consumer of a new name, on a PostgreSQL where `migrate` has run, and what its operator works with. */
  consumerStore?(): Promise<{
    readonly store: ConsumerStore
    readonly streams: HeldStreams
    readonly consumer: string
  }>
  /** Messages the broker handed to consumers and has no acknowledgement for. */
  unacknowledged?(topic: string): Promise<number>
  /** Most messages a consumer may have taken, where that is more than ten beside two for each of its handlers. */
  readonly maxTaken?: number
  /** Makes the topic's place for dead letters refuse, for example by removing it. */
  removeDeadLetterPlace?(topic: string): Promise<void>
  /** Makes it again, empty; resolves when it takes messages. */
  restoreDeadLetterPlace?(topic: string): Promise<void>
  /**
   * Puts a record into the topic that no publisher of ours made, as large as the broker takes: beside what it is made of, a note has no room.
   *
   * @returns its body
   */
  sendLargest?(topic: string): Promise<string>
  /** Has the topic's place for dead letters, which is empty, take records of at most 2,000 bytes or a little more. */
  narrowDeadLetterPlace?(topic: string): Promise<void>
  /** Brings dead letters of the topic back. */
  redrive?(topic: string, options: RedriveOptions): Promise<RedriveReport>
  /** Stops the broker as a crash does. */
  stopBroker?(): Promise<void>
  /** Starts the stopped broker on the same address and data; resolves when it serves. */
  startBroker?(): Promise<void>
}
