import type { ReceivedMessage } from '../../received-message.ts'
import type { OutboxMessage } from '../../message.ts'
import type { Publisher } from '../../publisher.ts'

/** What the broker holds of one publish, read back without the adapter's consumer and decoded by the adapter's own decoder. */
export interface PublishedRecord {
  readonly message: ReceivedMessage
  /** The native headers or attributes as another language's consumer would see them. */
  readonly wire: Readonly<Record<string, string>>
  /** What the broker itself orders by (SQS message group, Kafka key); undefined where it orders whole queues. */
  readonly brokerKey?: string
}

/**
 * How the publisher kit reaches a real broker. One harness serves all cases, one after the other; every case asks for topics
 * of its own. Leave out an optional part only together with an entry in the absences that says why the broker has none.
 */
export interface PublisherHarness {
  /** A new publisher on the running broker. The case closes it. */
  createPublisher(): Promise<Publisher>
  /** A topic that nobody else uses, whose destination exists and is empty. */
  freshTopic(): Promise<string>
  /** A topic without a destination: the queue, binding or Kafka topic is not there. */
  missingTopic(): Promise<string>
  /**
   * Takes what the broker durably holds in the topic, oldest first: waits until `count` records came (at most `patienceMs`),
   * then looks once more for records too many. Gives also more or fewer than asked; the case judges.
   */
  receive(topic: string, count: number): Promise<readonly PublishedRecord[]>
  /** Largest message the publisher sends as it is set up here, in bytes of body and headers together. */
  readonly maxMessageBytes: number
  /** Longest a case waits for the broker to do something, for example to be back after a restart, in milliseconds. */
  readonly patienceMs: number

  /**
   * A topic, and a change that makes the broker itself (not the adapter's own checks) refuse a message to it while it accepts
   * the message's neighbours: a queue with a lower size limit, a binding that only some headers match, …
   */
  brokerRefusal?(): Promise<{ readonly topic: string; readonly change: Partial<OutboxMessage> }>
  /**
   * A topic whose destination exists and takes nothing: full, throttled, without permission, without a leader. `mend` makes it
   * take messages again.
   */
  troubledTopic?(): Promise<{ readonly topic: string; mend(): Promise<void> }>
  /** Set when the destination keeps the order in which it accepted messages of one key. Without it, what arrives may come in any order. */
  readonly keepsOrder?: true
  /** Set when records carry `brokerKey`. */
  readonly ordersByBrokerKey?: true
  /** Stops the broker as a crash does: connections are cut, new ones refused, what it acknowledged is on disk. */
  stopBroker?(): Promise<void>
  /** Starts the stopped broker on the same address and data; resolves when it serves. */
  startBroker?(): Promise<void>
  /** Cuts every connection of the publishers, as a broker restart or a firewall does; new ones are welcome. */
  cutConnections?(): Promise<void>
  /** Connections the publishers hold to the broker now, seen from the broker or a proxy in front of it. */
  openConnections?(): Promise<number>
}
