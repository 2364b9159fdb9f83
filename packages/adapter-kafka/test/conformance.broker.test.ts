import { consumerConformance, publisherConformance } from '@malote/outbox-core/testing'
import { describeConformance, nameNotRun } from '@malote/testing/conformance'
import { openConsumerStores } from '@malote/testing/consumer-stores'
import { startKafka } from '@malote/testing/services/kafka'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { clients } from './clients.ts'
import { consumerHarness, publisherHarness, type Surroundings } from './conformance-harness.ts'
import { connectKafka } from './kafka-broker.ts'

/**
 * What differs from client to client: the cases in which a client other than kafkajs takes part in each run of the tests. The others run the
 * adapter's own code once more, or wait for a broker; `npm run judges` and whoever writes the page of conformance let it take part in all.
 */
const differing = new Set([
  'every message has one result with its id, and the broker holds what was accepted',
  'a message the broker refuses is reported as failed, and its neighbours as accepted',
  'a missing destination is unavailable, by a name that stays the same, and neighbours are accepted',
  'a message just under the size limit is accepted',
  'when the broker refuses the 3rd of 10 messages of a key, exactly the first two of the key are accepted',
  'one key of 200 messages arrives in the order it was given',
  'an empty payload comes back byte for byte',
  'a binary payload of all byte values comes back byte for byte',
  'headers with capitals, spaces, accents, empty and control values come back',
  'aborting in the middle of a publish settles it promptly: accepted, or ABORTED and retryable',
  'a failed message comes again with the next attempt number until it is handled',
  'a record that is no message of ours is dead-lettered as it is, without calling the handler',
  'a consumer that joins in the middle of a batch loses nothing, and each key keeps its order',
  'a message that is too large for the place for dead letters leaves a letter that fits and says what was left out and where it was; its key goes on',
  'a redrive brings back the dead letters its filter names, in order and with a full count; the others stay with their notes, and a dry run moves nothing',
  'a message comes as it was sent: identity, key, headers, instant and body',
  'a handled message does not come again',
  'a handler whose consumer lost the broker is told by its signal',
])
const runsAll = process.env['MALOTE_TEST_KAFKA_CLIENTS'] === 'all' || process.env['MALOTE_WRITE_DOCS'] === '1'

const absences = {
  unacknowledged:
    'Kafka keeps no count of what it handed out: a consumer that reads ahead is bounded by maxBufferedMessages',
}
const left = '`npm run judges` runs it: in each run of the tests this client takes part where clients differ'

let surroundings: Omit<Surroundings, 'connect'>

// A broker of its own: cases stop it.
beforeAll(async () => {
  const service = await startKafka({ exclusive: true })
  const broker = await connectKafka(service.brokers)
  surroundings = { service, broker, stores: await openConsumerStores(inject('postgresUrl')) }
})
afterAll(async () => {
  await surroundings.stores.close()
  await surroundings.broker.close()
  await surroundings.service.dispose()
})

it('each case that differs from client to client is one of the kits', () => {
  const names = [...publisherConformance, ...consumerConformance].map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining([...differing]))
})

for (const [name, connect] of Object.entries(clients)) {
  const subject = `kafka (${name})`
  const runs = (one: { readonly name: string }): boolean => name === 'kafkajs' || runsAll || differing.has(one.name)
  const forPublisher = once(() => publisherHarness({ ...surroundings, connect }))
  const forConsumer = once(() => consumerHarness({ ...surroundings, connect }))
  describeConformance('publisher', subject, publisherConformance.filter(runs), forPublisher)
  describeConformance('consumer', subject, consumerConformance.filter(runs), forConsumer, absences)
  if (name === 'kafkajs' || runsAll) continue
  const holds = (): Promise<boolean> => Promise.resolve(!runsAll)
  nameNotRun(
    'publisher',
    subject,
    publisherConformance.filter((one) => !runs(one)),
    left,
    holds,
  )
  nameNotRun(
    'consumer',
    subject,
    consumerConformance.filter((one) => !runs(one)),
    left,
    holds,
  )
}

/** Made when it is asked for first: there is no broker before. */
function once<Made>(make: () => Made): () => Made {
  let made: Made | undefined
  return () => (made ??= make())
}
