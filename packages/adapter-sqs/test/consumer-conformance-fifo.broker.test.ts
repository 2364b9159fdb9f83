import { consumerConformance } from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { afterAll, beforeAll } from 'vitest'
import { openConsumerHarness, consumerAbsences, type SqsConsumerHarness } from './consumer-harness.ts'

let harness: SqsConsumerHarness
beforeAll(async () => {
  harness = await openConsumerHarness('fifo')
})
afterAll(() => harness.close())

describeConformance('consumer', 'sqs fifo', consumerConformance, () => harness, consumerAbsences.fifo)
