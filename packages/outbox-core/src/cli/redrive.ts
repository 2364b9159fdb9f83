import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { RedriveOptions, RedriveReport } from '../adapter/redrive.ts'
import type { DeadLetterNote } from '../dead-letter-note.ts'
import { confirmed, type Invocation, UsageError } from './invocation.ts'

export interface RedriveFlags {
  readonly broker: 'sqs' | 'rabbitmq' | 'kafka'
  readonly from: string
  readonly to?: string
  readonly url?: string
  readonly where?: readonly string[]
  readonly limit?: number
  readonly dryRun?: boolean
}

/** What this needs of an adapter and of its broker's client; neither is a dependency of ours. */
interface Loaded {
  readonly redriveDeadLetters: (options: RedriveOptions & Record<string, unknown>) => Promise<RedriveReport>
}

/** Brings dead letters of consumers back, by the adapter and the client that are installed where the command runs. Needs no database. */
export async function redrive(invocation: Pick<Invocation<RedriveFlags>, 'flags' | 'output'>): Promise<number> {
  const { flags, output } = invocation
  const where = filterOf(flags.where ?? [])
  checkUrl(flags)
  const options = {
    dryRun: flags.dryRun === true,
    ...(where === null ? {} : { where }),
    ...(flags.limit === undefined ? {} : { limit: flags.limit }),
  }
  const question = `Bring dead letters of "${flags.from}" back?`
  if (!options.dryRun && !(await confirmed(invocation, question))) return 1
  const report = await redriveOn[flags.broker](flags, options)
  const verb = options.dryRun ? 'would bring back' : 'brought back'
  output.print(report, [`${verb} ${String(report.redriven)}, left ${String(report.kept)}`])
  return 0
}

const urlForms: Readonly<Record<RedriveFlags['broker'], readonly [form: RegExp, example: string]>> = {
  sqs: [/^https?:\/\/[^/\s]+/, 'http://127.0.0.1:4566'],
  rabbitmq: [/^amqps?:\/\/[^/\s]+/, 'amqp://localhost'],
  kafka: [/^[^\s,/]+:\d+(,[^\s,/]+:\d+)*$/, 'localhost:9092'],
}

/** Its words are not shown: they may hold a password. */
function checkUrl({ broker, url }: RedriveFlags): void {
  const [form, example] = urlForms[broker]
  if (url !== undefined && !(form.test(url) && (broker === 'kafka' || URL.canParse(url))))
    throw new UsageError(`--url is no address of ${broker}: such as ${example}`)
}

type RedriveOn = (flags: RedriveFlags, options: RedriveOptions) => Promise<RedriveReport>

const redriveOn: Readonly<Record<RedriveFlags['broker'], RedriveOn>> = {
  sqs: async ({ from, to, url }, options) => {
    const { redriveDeadLetters } = await load<Loaded>('@malote/adapter-sqs')
    const { SQSClient } = await load<{ SQSClient: new (config: object) => { destroy(): void } }>('@aws-sdk/client-sqs')
    const client = new SQSClient(url === undefined ? {} : { endpoint: url })
    const queueUrl = needed('--to', to, 'the URL of the queue they go back to')
    return redriveDeadLetters({ client, deadLetterQueueUrl: from, queueUrl, ...options }).finally(() =>
      client.destroy(),
    )
  },
  rabbitmq: async ({ from, to, url }, options) => {
    const { redriveDeadLetters } = await load<Loaded>('@malote/adapter-rabbitmq')
    const { connect } = await load<{ readonly connect: (url: string) => Promise<unknown> }>('amqplib')
    const address = needed('--url', url, 'such as amqp://localhost')
    const queue = needed('--to', to ?? (from.endsWith('.dead') ? from.slice(0, -'.dead'.length) : undefined), 'a queue')
    return redriveDeadLetters({ connect: () => connect(address), deadLetterQueue: from, queue, ...options })
  },
  kafka: async ({ from, to, url }, options) => {
    const adapter = await load<Loaded & { consumerDefaults: object; producerDefaults: object }>('@malote/adapter-kafka')
    const { Kafka } = await load<{ Kafka: new (config: object) => KafkaClient }>('kafkajs')
    const brokers = needed('--url', url, 'such as localhost:9092').split(',')
    const kafka = new Kafka({ clientId: 'malote', brokers, logLevel: 0 })
    const admin = kafka.admin()
    await admin.connect()
    const groupId = `malote-redrive-${from}`
    const clients = {
      groupId,
      admin,
      consumer: kafka.consumer({ ...adapter.consumerDefaults, groupId }),
      producer: kafka.producer(adapter.producerDefaults),
    }
    const topic = to === undefined ? {} : { topic: to }
    try {
      return await adapter.redriveDeadLetters({ deadLetterTopic: from, ...clients, ...topic, ...options })
    } finally {
      await admin.disconnect()
    }
  },
}

interface KafkaClient {
  admin(): { connect(): Promise<void>; disconnect(): Promise<void> }
  consumer(config: object): unknown
  producer(config: object): unknown
}

function needed(flag: string, value: string | undefined, what: string): string {
  if (value === undefined) throw new UsageError(`${flag} is missing: ${what}`)
  return value
}

const words = ['reason', 'topic', 'source', 'error'] as const

/** `reason=MAX_ATTEMPTS topic=orders`: all must hold; `error` holds when the note's words contain it. */
function filterOf(terms: readonly string[]): ((note: DeadLetterNote | null) => boolean) | null {
  const wanted = terms.map((term) => {
    const [name = '', ...rest] = term.split('=')
    const word = words.find((known) => known === name)
    if (word === undefined || rest.length === 0)
      throw new UsageError(`--where takes ${words.map((one) => `${one}=…`).join(', ')}, not "${term}"`)
    return { word, value: rest.join('=') }
  })
  if (wanted.length === 0) return null
  return (note) =>
    note !== null &&
    wanted.every(({ word, value }) => (word === 'error' ? note.error.includes(value) : note[word] === value))
}

/** Looked for where the command is run. */
async function load<Module>(name: string): Promise<Module> {
  const from = createRequire(pathToFileURL(`${process.cwd()}/package.json`))
  let path: string
  try {
    path = from.resolve(name)
  } catch (cause) {
    throw new UsageError(`${name} is not installed here: run the command where it is`, { cause })
  }
  const loaded = (await import(pathToFileURL(path).href)) as Module & { default?: Module }
  return loaded.default === undefined ? loaded : { ...loaded.default, ...loaded }
}
