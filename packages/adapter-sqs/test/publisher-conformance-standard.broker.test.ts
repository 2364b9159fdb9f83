import { publisherConformance } from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { afterAll, beforeAll } from 'vitest'
import { openPublisherHarness, publisherAbsences, type SqsPublisherHarness } from './publisher-harness.ts'

let harness: SqsPublisherHarness
beforeAll(async () => {
  harness = await openPublisherHarness('standard')
})
afterAll(() => harness.close())

describeConformance('publisher', 'sqs standard', publisherConformance, () => harness, publisherAbsences.standard)
