import { consumerConformance } from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { afterAll, beforeAll } from 'vitest'
import { openConsumerHarness, consumerAbsences, type SqsConsumerHarness } from './consumer-harness.ts'

let harness: SqsConsumerHarness
beforeAll(async () => {
  harness = await openConsumerHarness('standard')
})
afterAll(() => harness.close())

describeConformance('consumer', 'sqs standard', consumerConformance, () => harness, consumerAbsences.standard)
