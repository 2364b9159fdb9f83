import type { Consumer, ConsumerEvent, DeliveryHandler, Publisher } from '../library.ts'

export const brokerNames = ['sqs', 'rabbitmq', 'kafka', 'log'] as const
export type BrokerName = (typeof brokerNames)[number]

/** How a child process reaches the broker. */
export interface BrokerSettings {
  readonly kind: BrokerName
  /** Endpoint, URL, bootstrap address or file. */
  readonly address: string
}

/** `away`: there is nothing to send to. `throttled`: it takes nothing, or only now and then. */
export type Trouble = 'away' | 'throttled'

/** A broker of the run's own. */
export interface Broker {
  readonly settings: BrokerSettings
  /** Port to put a proxy before; null where nothing is behind a network. */
  readonly port: number | null
  /** The same by way of another port, of this machine unless told otherwise. */
  through(port: number, host?: string): BrokerSettings
  /** Takes it down hard and brings it up again after `downMs`. */
  restart(downMs: number): Promise<void>
  /** Its destination refuses what is sent to it, and nothing else is wrong with the broker. Keeps what it has. */
  trouble(how: Trouble, forMs: number): Promise<void>
  /** Nothing can be put where its consumers' dead letters go, and nothing else is wrong. Keeps what is there. */
  refuseDeadLetters(forMs: number): Promise<void>
  /** Its disk counts as full, where it has one. @returns whether it noticed: it kept publishers from publishing, or ended itself */
  fillDisk?(forMs: number): Promise<boolean>
  /** How many dead letters of consumers it has. */
  deadLetters(): Promise<number>
  /** How many messages it holds that no consumer has acknowledged, those handed out included. */
  unacknowledged(): Promise<number>
  close(): Promise<void>
}

export interface ChaosConsumerOptions {
  readonly handler: DeliveryHandler
  readonly maxAttempts?: number
  readonly backoff?: (attempt: number) => number
  readonly isOutage?: (error: unknown) => boolean
  readonly pauseAfterFailures?: number
  readonly onEvent: (event: ConsumerEvent) => void
}

/** What each broker's file exports. */
export interface BrokerKind {
  start(): Promise<Broker>
  publisher(settings: BrokerSettings): Publisher
  consumer(settings: BrokerSettings, options: ChaosConsumerOptions): Consumer
}

/** Loads one broker's client and no other: a child process starts in a fraction of the time. */
export function brokerKind(name: BrokerName): Promise<BrokerKind> {
  return load[name]()
}

const load: Record<BrokerName, () => Promise<BrokerKind>> = {
  sqs: async () => (await import('./sqs.ts')).sqs,
  rabbitmq: async () => (await import('./rabbitmq.ts')).rabbitmq,
  kafka: async () => (await import('./kafka.ts')).kafka,
  log: async () => (await import('./log.ts')).log,
}
