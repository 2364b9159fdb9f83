import type { Consumer, ConsumerOptions, Publisher } from '@malote/outbox-core'
import type { Subscription } from './subscriptions.ts'

/** What the brokerage needs of a broker. The roles know nothing else about it, so they run on any. */
export interface Broker {
  createPublisher(): Publisher
  /** @param options - the handler and the shared options; queue, group and names are the broker's business */
  createConsumer(subscription: Subscription, options: ConsumerOptions): Consumer
  close(): Promise<void>
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Connects to the broker named by `BROKER`, reached at `BROKER_URL`. Only the chosen one is loaded: their clients are large.
 *
 * @throws Error when a setting is missing or names no broker
 */
export async function connectBroker(env: Environment = process.env): Promise<Broker> {
  const { createBroker, url } = await loadBroker(env)
  return createBroker(url)
}

/** Makes the exchanges, topics, queues and subscriptions the roles expect. May run any number of times, also on what is in use. */
export async function prepareBroker(env: Environment): Promise<void> {
  const { prepare, url } = await loadBroker(env)
  await prepare(url)
}

async function loadBroker(env: Environment): Promise<{
  readonly url: string
  readonly createBroker: (url: string) => Promise<Broker>
  readonly prepare: (url: string) => Promise<void>
}> {
  const url = env['BROKER_URL']
  if (url === undefined || url === '') throw new Error('environment variable BROKER_URL is not set')
  switch (env['BROKER']) {
    case 'sqs': {
      const { createSqsBroker, prepareSqs } = await import('./sqs.ts')
      return { url, createBroker: createSqsBroker, prepare: prepareSqs }
    }
    case 'rabbitmq': {
      const { createRabbitmqBroker, prepareRabbitmq } = await import('./rabbitmq.ts')
      return { url, createBroker: createRabbitmqBroker, prepare: prepareRabbitmq }
    }
    case 'kafka': {
      const { createKafkaBroker, prepareKafka } = await import('./kafka.ts')
      return { url, createBroker: createKafkaBroker, prepare: prepareKafka }
    }
    default:
      throw new Error(`environment variable BROKER is "${env['BROKER'] ?? ''}": it must be sqs, rabbitmq or kafka`)
  }
}
