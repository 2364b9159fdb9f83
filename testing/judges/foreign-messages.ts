import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { OutboxMessage, ReceivedMessage } from '../../packages/outbox-core/src/index.ts'
import { anOutboxMessage } from '../../packages/outbox-core/src/testing/index.ts'

/** What a Python client writes: a CloudEvent in binary mode. */
export interface ForeignMessage {
  readonly attributes: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly contentType: string
  readonly body: string
}

/** What a Python client reads. */
export interface SeenByPython {
  /** The broker's own: Kafka's record key, SQS' message group. RabbitMQ has none. */
  readonly key: string | null
  readonly headers: Readonly<Record<string, string>>
  /** In base64. */
  readonly body: string
}

const words = '{"texto":"não 合 ü","amount":1000}'

export const ours = (topic: string): readonly OutboxMessage[] => [
  anOutboxMessage({ topic, orderingKey: 'conta-1', body: words, headers: { tenant: 'b3' } }),
  anOutboxMessage({ topic, orderingKey: 'conta-1', type: 'order.settled', contentType: 'text/plain', body: 'texto' }),
  anOutboxMessage({ topic, createdAt: new Date('2026-01-02T03:04:05.678Z') }),
]

export const foreignMessages = (): readonly ForeignMessage[] => [
  {
    attributes: {
      specversion: '1.0',
      id: randomUUID(),
      source: '/loja',
      type: 'order.accepted',
      time: '2026-01-02T03:04:05.678Z',
      subject: 'conta-1',
      partitionkey: 'conta-1',
    },
    headers: { tenant: 'b3' },
    contentType: 'application/json',
    body: words,
  },
  {
    attributes: { specversion: '1.0', id: `loja/${randomUUID()}`, source: '/loja', type: 'order.settled' },
    headers: {},
    contentType: 'text/plain',
    body: 'texto',
  },
]

/** What was written and read differently, in words; either direction. */
export function differences(
  prefix: string,
  sent: readonly OutboxMessage[],
  read: readonly SeenByPython[],
  written: readonly ForeignMessage[],
  received: readonly ReceivedMessage[],
): string[] {
  return [
    ...sent.flatMap((message) => {
      const seen = read.find(({ headers }) => headers[`${prefix}id`] === message.id)
      return seen === undefined ? [`${message.id} was not read`] : differ(asPythonShouldSee(message, prefix), seen)
    }),
    ...written.flatMap((message) => {
      const seen = received.find(({ id }) => id === message.attributes['id'])
      return seen === undefined
        ? [`${String(message.attributes['id'])} did not arrive`]
        : differ(asWeShouldSee(message), asSeen(seen))
    }),
  ]
}

type Plain = Readonly<Record<string, unknown>>

function asPythonShouldSee(message: OutboxMessage, prefix: string): Plain {
  const { orderingKey, headers, contentType, body } = message
  const attributes = {
    specversion: '1.0',
    id: message.id,
    source: '/judged',
    type: message.type,
    time: message.createdAt.toISOString(),
    ...(orderingKey === null ? {} : { partitionkey: orderingKey }),
  }
  const named = Object.entries(attributes).map(([name, value]) => [`${prefix}${name}`, value])
  return {
    headers: { ...Object.fromEntries(named), ...headers, 'content-type': contentType },
    body: Buffer.from(body as string).toString('base64'),
    ...brokerKey(prefix, message),
  }
}

/** RabbitMQ has none. A message without an ordering key has its id instead: it waits for nobody. */
const brokerKey = (prefix: string, { orderingKey, id }: OutboxMessage): Plain =>
  prefix === 'cloudEvents:' ? {} : { key: orderingKey ?? id }

/** An instant may be written in more than one way: it is compared as the instant that it is. */
const asWeShouldSee = ({ attributes, headers, contentType, body }: ForeignMessage): Plain => {
  const { time, ...rest } = attributes
  return {
    attributes: rest,
    headers,
    contentType,
    body: contentOf(body, contentType),
    type: attributes['type'],
    orderingKey: attributes['partitionkey'] ?? null,
    ...(time === undefined ? {} : { createdAt: time }),
  }
}

const asSeen = ({ attributes, headers, contentType, body, type, orderingKey, createdAt }: ReceivedMessage): Plain => ({
  attributes,
  headers,
  contentType,
  body: contentOf(Buffer.from(body).toString(), contentType),
  type,
  orderingKey,
  createdAt: createdAt.toISOString(),
})

/** JSON may be written in more than one way, too. */
const contentOf = (text: string, contentType: string): unknown =>
  contentType === 'application/json' ? (JSON.parse(text) as unknown) : text

/** What is expected must be there; what is there beside it is the reader's business. */
function differ(expected: Plain, seen: object, path = ''): string[] {
  return Object.entries(expected).flatMap(([name, value]) => {
    const found: unknown = (seen as Plain)[name]
    if (typeof value === 'object' && value !== null) return differ(value as Plain, found ?? {}, `${path}${name}.`)
    return isDeepStrictEqual(value, found)
      ? []
      : [`${path}${name} is ${JSON.stringify(found)}, not ${JSON.stringify(value)}`]
  })
}
