import type { OutboxStatus } from './status.ts'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

/** One metric: name, kind, what it says, and how it is taken from the status. */
interface Metric {
  readonly name: string
  readonly kind: 'gauge' | 'counter'
  readonly help: string
  readonly of: (status: OutboxStatus) => readonly Sample[]
}

const observed = 'malote_outbox_observed'
const gauge = (name: string, help: string, of: (status: OutboxStatus) => number): Metric => ({
  name: `malote_outbox_${name}`,
  kind: 'gauge',
  help,
  of: (status) => [[{}, of(status)]],
})

const perTopic = (
  name: string,
  kind: Metric['kind'],
  help: string,
  of: (topic: OutboxStatus['topics'][number]) => number,
): Metric => ({
  name: `malote_topic_${name}`,
  kind,
  help,
  of: ({ topics }) => topics.map((topic) => [{ topic: topic.topic }, of(topic)]),
})

const seconds = (ms: number | null): number => (ms ?? 0) / 1_000
const timestamp = (instant: string | null): number => (instant === null ? 0 : Date.parse(instant) / 1_000)

/** The first block has the names that `observeOutbox` has by way of an OpenTelemetry exporter, so that the same rules serve both. */
const metrics: readonly Metric[] = [
  gauge('observed', '1: the others were read just now; 0: they could not be', () => 1),
  gauge('ready', 'Messages to be published now, or in flight', ({ ready }) => ready),
  gauge(
    'oldest_unpublished_age_seconds',
    'Age of the oldest message that is due and not published, whatever it waits for; 0 when there is none',
    ({ oldestUnpublishedMs }) => seconds(oldestUnpublishedMs),
  ),
  gauge('waiting', 'Messages waiting for another attempt', ({ waiting }) => waiting),
  gauge('held', 'Messages behind a held key', ({ held }) => held),
  gauge('scheduled', 'Messages for later', ({ scheduled }) => scheduled),
  gauge('dead_letters', 'Dead letters nobody has decided about', ({ deadLetters }) => deadLetters),
  gauge('held_keys', 'Ordering keys that stand still', ({ heldKeys }) => heldKeys),
  gauge('open_breakers', 'Brokers and destinations that take nothing', ({ outages }) => outages.length),
  gauge('relays', 'Relays that live', ({ relays }) => relays.filter(({ isAlive }) => isAlive).length),
  gauge('lanes_without_relay', 'Lanes that no living relay owns', ({ lanesWithoutRelay }) => lanesWithoutRelay),
  gauge('paused_topics', 'Topics that an operator paused', ({ pausedTopics }) => pausedTopics.length),
  gauge('last_added_timestamp_seconds', 'When a message was last added; 0: never', ({ lastAddedAt }) =>
    timestamp(lastAddedAt),
  ),
  gauge('last_published_timestamp_seconds', 'When a message was last published; 0: never', ({ lastPublishedAt }) =>
    timestamp(lastPublishedAt),
  ),
  perTopic('oldest_unpublished_age_seconds', 'gauge', 'The same, of one topic', ({ oldestUnpublishedMs }) =>
    seconds(oldestUnpublishedMs),
  ),
  perTopic(
    'unpublished',
    'gauge',
    'Messages of the topic that are due and not published',
    (topic) => topic.ready + topic.waiting + topic.held + topic.overdueScheduled,
  ),
  perTopic('dead_letters', 'gauge', 'Dead letters of the topic', ({ deadLetters }) => deadLetters),
  perTopic('published_total', 'counter', 'Messages published, by all relays together', ({ published }) => published),
  {
    name: 'malote_outage_age_seconds',
    kind: 'gauge',
    help: 'Since when a destination takes nothing; an empty name is the broker as a whole',
    of: ({ outages }) =>
      outages.map(({ destination, sinceMs }) => [{ destination: destination ?? '' }, seconds(sinceMs)]),
  },
]

/**
 * The status as Prometheus scrapes it, in its text format: for a `/metrics` of your own. `malote relay` serves it.
 * Every process that serves it tells the same numbers, read from the database: take the maximum of an outbox, never the sum.
 *
 * @param status - null when it could not be read: then only `malote_outbox_observed 0` is told, and nothing that might be old.
 *   Of several outboxes a map by name: each sample has the label `outbox`
 */
export function prometheusText(status: OutboxStatus | null | ReadonlyMap<string, OutboxStatus | null>): string {
  const readings = (status instanceof Map ? [...status] : [[null, status]]) as readonly Reading[]
  const blocks = metrics.flatMap((metric) => {
    const samples = readings.flatMap((reading) => samplesOf(metric, reading))
    if (samples.length === 0) return []
    const { name, kind, help } = metric
    return [`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`, ...samples.map((sample) => line(name, sample))]
  })
  return `${blocks.join('\n')}\n`
}

type Reading = readonly [outbox: string | null, status: OutboxStatus | null]

function samplesOf({ name, of }: Metric, [outbox, status]: Reading): readonly Sample[] {
  const samples = status === null ? (name === observed ? unseen : []) : of(status)
  return outbox === null ? samples : samples.map(([labels, value]) => [{ outbox, ...labels }, value])
}

const unseen: readonly Sample[] = [[{}, 0]]

function line(name: string, [labels, value]: Sample): string {
  const text = Object.entries(labels).map(([label, content]) => `${label}="${escaped(content)}"`)
  return `${name}${text.length > 0 ? `{${text.join(',')}}` : ''} ${String(value)}`
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
