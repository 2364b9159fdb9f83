import {
  type Absences,
  type ConformanceCase,
  consumerConformance,
  publisherConformance,
} from '@malote/outbox-core/testing'
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

/** Cases in which a test counts or cuts the client's own connections. */
const needingSockets = new Set([
  'twenty cut connections leak none: the publisher reconnects and holds no more than before',
  'a handler whose consumer lost the broker is told by its signal',
])
const hidden = 'librdkafka opens its connections itself: a test can neither count nor cut them'

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

it('each case that is named here is one of the kits', () => {
  const names = [...publisherConformance, ...consumerConformance].map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining([...differing, ...needingSockets]))
})

type Cases<Harness> = readonly ConformanceCase<Harness>[]

for (const [name, connect] of Object.entries(clients)) {
  const subject = `kafka (${name})`
  const forPublisher = once(() => publisherHarness({ ...surroundings, connect }))
  const forConsumer = once(() => consumerHarness({ ...surroundings, connect }))
  describeClient('publisher', subject, publisherConformance, forPublisher, connect)
  describeClient('consumer', subject, consumerConformance, forConsumer, connect, absences)
}

if (!('confluent' in clients)) {
  const reason =
    'the native addon of @confluentinc/kafka-javascript is not on this machine: its install script, which fetches or compiles it, is not among those that may run. `npm run judges` builds it and runs both kits on it'
  const holds = (): Promise<boolean> =>
    import('@confluentinc/kafka-javascript').then(
      () => false,
      (error: unknown) => String(error).includes('Could not locate the bindings file'),
    )
  nameNotRun('publisher', 'kafka (confluent)', publisherConformance, reason, holds)
  nameNotRun('consumer', 'kafka (confluent)', consumerConformance, reason, holds)
}

function describeClient<Harness>(
  kit: 'publisher' | 'consumer',
  subject: string,
  cases: Cases<Harness>,
  harness: () => Harness,
  connect: (typeof clients)[string],
  without: Absences<Harness> = {},
): void {
  const isHidden = connect([]).sockets === null
  const seen = cases.filter((one) => !(isHidden && needingSockets.has(one.name)))
  const runs = seen.filter((one) => runsAll || subject === 'kafka (kafkajs)' || differing.has(one.name))
  describeConformance(kit, subject, runs, harness, without)
  const notRun = (rest: Cases<Harness>, reason: string, holds: boolean): void => {
    if (rest.length > 0) nameNotRun(kit, subject, rest, reason, () => Promise.resolve(holds))
  }
  notRun(
    seen.filter((one) => !runs.includes(one)),
    left,
    !runsAll,
  )
  notRun(
    cases.filter((one) => !seen.includes(one)),
    hidden,
    isHidden,
  )
}

/** Made when it is asked for first: there is no broker before. */
function once<Made>(make: () => Made): () => Made {
  let made: Made | undefined
  return () => (made ??= make())
}
