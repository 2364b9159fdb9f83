import { join } from 'node:path'
import { startKafka } from '@malote/testing/services/kafka'
import { startRabbitmq } from '@malote/testing/services/rabbitmq'
import { startSqsProcess } from '@malote/testing/services/sqs'
import type { BrokerName } from './arguments.ts'

/** A broker that can be stopped in the middle of a run and started again with what it had acknowledged. */
export interface DemoBroker {
  readonly url: string
  readonly stop: () => Promise<void>
  readonly start: () => Promise<void>
  /** Ends it for good. */
  readonly close: () => Promise<void>
}

const starters: Readonly<Record<BrokerName, (dataDir: string | undefined) => Promise<DemoBroker>>> = {
  sqs: async (dataDir) => {
    const sqs = await startSqsProcess(dataDir === undefined ? {} : { dataDir: join(dataDir, 'sqs') })
    return { url: sqs.endpoint, stop: () => sqs.stop(), start: () => sqs.start(), close: () => sqs.close() }
  },
  rabbitmq: async () => {
    const rabbitmq = await startRabbitmq({ exclusive: true })
    return {
      url: rabbitmq.url,
      stop: () => rabbitmq.stop(),
      start: () => rabbitmq.start(),
      close: () => rabbitmq.dispose(),
    }
  },
  kafka: async () => {
    const kafka = await startKafka({ exclusive: true })
    return {
      url: kafka.brokers.join(','),
      stop: () => kafka.stop(),
      start: () => kafka.start(),
      close: () => kafka.dispose(),
    }
  },
}

/** @param dataDir - where its messages outlive the run; undefined: nowhere */
export function startBroker(name: BrokerName, dataDir: string | undefined): Promise<DemoBroker> {
  return starters[name](dataDir)
}
