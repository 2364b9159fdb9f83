import { consumerConformance, publisherConformance } from '@malote/outbox-core/testing'
import { nameNotRun } from '@malote/testing/conformance'

// The kits run on kafkajs. What else there is for Kafka is named with the reason why they do not run on it, and the reason is looked at each time.
const clients = [
  {
    subject: 'kafka (confluent)',
    reason:
      'the native addon of @confluentinc/kafka-javascript is not there: no install script but those we allow is run, and its own fetches or compiles it. The adapter is held to its types only',
    holds: () =>
      import('@confluentinc/kafka-javascript').then(
        () => false,
        (error: unknown) => String(error).includes('Could not locate the bindings file'),
      ),
  },
]

for (const { subject, reason, holds } of clients) {
  nameNotRun('publisher', subject, publisherConformance, reason, holds)
  nameNotRun('consumer', subject, consumerConformance, reason, holds)
}
