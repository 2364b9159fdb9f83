import { join } from 'node:path'
import { startSqsProcess } from '@malote/testing/services/sqs'
import type { BrokerName } from './arguments.ts'

/** A broker that can be stopped in the middle of a run and started again with what it had acknowledged. */
export interface DemoBroker {
  readonly url: string
  stop(): Promise<void>
  start(): Promise<void>
  /** Ends it for good. */
  close(): Promise<void>
}

/** @param dataDir - where its messages outlive the run; undefined: nowhere */
export async function startBroker(name: BrokerName, dataDir: string | undefined): Promise<DemoBroker> {
  switch (name) {
    case 'sqs': {
      const sqs = await startSqsProcess(dataDir === undefined ? {} : { dataDir: join(dataDir, 'sqs') })
      return { url: sqs.endpoint, stop: sqs.stop, start: sqs.start, close: sqs.close }
    }
    case 'rabbitmq':
    case 'kafka':
      throw new Error(`the demo does not run on ${name} yet`)
  }
}
