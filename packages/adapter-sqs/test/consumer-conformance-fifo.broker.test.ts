import { consumerConformance } from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { type ConsumerStores, openConsumerStores } from '@malote/testing/consumer-stores'
import { afterAll, beforeAll, inject } from 'vitest'
import { openConsumerHarness, consumerAbsences, type SqsConsumerHarness } from './consumer-harness.ts'

let harness: SqsConsumerHarness
let stores: ConsumerStores
beforeAll(async () => {
  stores = await openConsumerStores(inject('postgresUrl'))
  harness = await openConsumerHarness('fifo', stores)
})
afterAll(async () => {
  await harness.close()
  await stores.close()
})

describeConformance('consumer', 'sqs fifo', consumerConformance, () => harness, consumerAbsences.fifo)
