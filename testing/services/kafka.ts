import { dockerAnswers } from './docker.ts'
import { startKafkaContainer } from './kafka-container.ts'
import { kafkaClassPath } from './kafka-jars.ts'
import { pinnedKafkaVersion } from './kafka-settings.ts'
import { startKafkaProcess } from './kafka-process.ts'

/** A real Apache Kafka for tests and demos: one broker that is its own controller (KRaft). */
export interface KafkaService {
  /** Bootstrap addresses. Stay the same over `stop` and `start`. */
  readonly brokers: readonly string[]
  readonly origin: 'environment' | 'container' | 'binary'
  /** The process to signal on this host, or null when the broker runs elsewhere. */
  readonly pid: number | null
  /** Keeps the data for `start`. `kill` is a crash: the next start recovers the log. */
  stop(mode?: 'graceful' | 'kill'): Promise<void>
  /** Makes the broker stand still: it keeps its connections and answers nobody. @returns lets it go on */
  pause(): Promise<() => Promise<void>>
  /** Starts a stopped broker again on the same port and data. */
  start(): Promise<void>
  /** Ends the broker for good and removes its data. */
  dispose(): Promise<void>
}

export interface KafkaServiceOptions {
  /** A broker of one's own, for tests that stop it: never the one of `MALOTE_TEST_KAFKA_BROKERS`. @defaultValue false */
  readonly exclusive?: boolean
}

/** The version that is started, unless `MALOTE_TEST_KAFKA_VERSION` names another. It must run on Java 17. */
export const kafkaVersion: string = process.env['MALOTE_TEST_KAFKA_VERSION'] ?? pinnedKafkaVersion

/**
 * Finds a Kafka, in this order: `MALOTE_TEST_KAFKA_BROKERS` (host:port, comma separated), Docker, the Maven artifacts on this
 * host's Java 17, the same with Debian's Java and Maven (as root).
 *
 * @throws Error that says what to install when there is none
 */
export async function startKafka(options: KafkaServiceOptions = {}): Promise<KafkaService> {
  const given = process.env['MALOTE_TEST_KAFKA_BROKERS']
  if (given !== undefined && given !== '' && options.exclusive !== true) return foreignKafka(given.split(','))
  if (await dockerAnswers()) return startKafkaContainer(kafkaVersion)
  return startKafkaProcess(kafkaClassPath(kafkaVersion))
}

function foreignKafka(brokers: readonly string[]): KafkaService {
  const refuse = (): Promise<never> =>
    Promise.reject(new Error('the broker of MALOTE_TEST_KAFKA_BROKERS is not ours to control'))
  return {
    brokers,
    origin: 'environment',
    pid: null,
    stop: refuse,
    pause: refuse,
    start: refuse,
    dispose: () => Promise.resolve(),
  }
}
