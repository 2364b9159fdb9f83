import type { BrokerKind } from './broker.ts'
const missing = (): never => {
  throw new Error('not yet')
}
export const kafka: BrokerKind = { start: missing, publisher: missing, consumer: missing }
