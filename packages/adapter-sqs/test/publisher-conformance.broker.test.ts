import { publisherConformance } from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { afterAll, beforeAll, describe } from 'vitest'
import { openPublisherHarness, publisherAbsences, type SqsPublisherHarness } from './publisher-harness.ts'

describe.each(['standard', 'fifo'] as const)('%s queue', (flavour) => {
  let harness: SqsPublisherHarness
  beforeAll(async () => {
    harness = await openPublisherHarness(flavour)
  })
  afterAll(() => harness.close())

  describeConformance('publisher', `sqs ${flavour}`, publisherConformance, () => harness, publisherAbsences[flavour])
})
