import {
  type ConsumerEvent,
  HandlerOutageError,
  PermanentFailure,
  readDeadLetterNote,
  type ReceivedMessage,
} from '@malote/outbox-core'
import type { MessageAttributeValue } from '@aws-sdk/client-sqs'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { describe, expect, it } from 'vitest'
import { textAttributes } from '../src/decode.ts'
import { encodeMessage } from '../src/encode.ts'
import { createLambdaHandler, type LambdaHandlerOptions, type SqsLambdaRecord } from '../src/index.ts'

/** As AWS's documentation of the event source shows it, with our attributes. */
function aRecord(
  { key = null, count = 1, fifo = true }: { key?: string | null; count?: number; fifo?: boolean } = {},
  number = 0,
): SqsLambdaRecord {
  const { body, attributes } = encodeMessage(anOutboxMessage({ orderingKey: key, body: String(number) }), '/tests')
  return {
    messageId: `059f36b4-87a3-44ab-83d2-${String(number).padStart(12, '0')}`,
    receiptHandle: 'AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...',
    body,
    attributes: {
      ApproximateReceiveCount: String(count),
      SentTimestamp: '1545082649183',
      SenderId: 'AIDAIENQZJOLO23YVJ4VO',
      ApproximateFirstReceiveTimestamp: '1545082649185',
      ...(fifo ? { MessageGroupId: key ?? 'none', SequenceNumber: '18849496460467696128' } : {}),
    },
    messageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([name, { StringValue = '', DataType = 'String' }]) => [
        name,
        { stringValue: StringValue, stringListValues: [], binaryListValues: [], dataType: DataType },
      ]),
    ),
    eventSourceARN: `arn:aws:sqs:us-east-2:123456789012:orders${fifo ? '.fifo' : ''}`,
  }
}

function setup(options: Partial<LambdaHandlerOptions>) {
  const handled: string[] = []
  const events: ConsumerEvent[] = []
  const sent: { readonly QueueUrl?: string; readonly MessageAttributes?: Record<string, MessageAttributeValue> }[] = []
  const client = {
    send: (command: { readonly input: (typeof sent)[number] }) => Promise.resolve(void sent.push(command.input)),
  } as unknown as NonNullable<LambdaHandlerOptions['deadLetters']>['client']
  const lambda = createLambdaHandler({
    handler: ({ message }) => Promise.resolve(void handled.push(textOf(message))),
    deadLetters: { client, queueUrl: 'https://sqs.us-east-2.amazonaws.com/123456789012/dead.fifo' },
    onEvent: (event) => void events.push(event),
    ...options,
  })
  return { handled, events, sent, lambda }
}

const textOf = ({ body }: ReceivedMessage): string => new TextDecoder().decode(body)
const numbersOf = (answer: { batchItemFailures: readonly { itemIdentifier: string }[] }): number[] =>
  answer.batchItemFailures.map(({ itemIdentifier }) => Number(itemIdentifier.slice(-3)))
const failing =
  (error: Error, ...numbers: string[]): LambdaHandlerOptions['handler'] =>
  async ({ message }) => {
    if (numbers.includes(textOf(message))) throw error
  }

describe('a Lambda function on an SQS queue', () => {
  it('tells which messages were not handled, and only those', async () => {
    const { lambda } = setup({ handler: failing(new Error('no stock'), '1') })

    const answer = await lambda({ Records: [0, 1, 2].map((number) => aRecord({ fifo: false }, number)) })

    expect(numbersOf(answer)).toEqual([1])
  })

  it('handles nothing of a FIFO group behind the first failure, and other groups go on', async () => {
    const { lambda } = setup({ handler: failing(new Error('no stock'), '1') })
    const keys = ['a', 'a', 'b', 'a', 'b']

    const answer = await lambda({ Records: keys.map((key, number) => aRecord({ key }, number)) })

    expect(numbersOf(answer)).toEqual([1, 3])
  })

  it('handles one group in order and different groups beside each other', async () => {
    const running = new Set<string | null>()
    let most = 0
    const seen: string[] = []
    const { lambda } = setup({
      handler: async ({ message }) => {
        expect(running.has(message.orderingKey)).toBe(false)
        running.add(message.orderingKey)
        most = Math.max(most, running.size)
        await new Promise((resolve) => setImmediate(resolve))
        running.delete(message.orderingKey)
        seen.push(textOf(message))
      },
    })

    await lambda({ Records: ['a', 'b', 'a', 'b', 'a'].map((key, number) => aRecord({ key }, number)) })

    expect(seen.filter((number) => Number(number) % 2 === 0)).toEqual(['0', '2', '4'])
    expect(most).toBe(2)
  })

  it('dead-letters with a note what can never be handled or failed too often, and lets its group go on', async () => {
    const { lambda, sent, events } = setup({ maxAttempts: 3, handler: failing(new PermanentFailure('never'), '0') })
    const broken = { ...aRecord({ key: 'b' }, 2), messageAttributes: {} }

    const answer = await lambda({ Records: [aRecord({ key: 'a' }, 0), aRecord({ key: 'a' }, 1), broken] })

    expect(numbersOf(answer)).toEqual([])
    const reasons = sent.map(({ MessageAttributes }) =>
      String(readDeadLetterNote(textAttributes(MessageAttributes))?.reason),
    )
    expect(reasons.toSorted((a, b) => a.localeCompare(b))).toEqual(['PERMANENT', 'UNDECODABLE'])
    expect(events.filter(({ type }) => type === 'message.dead-lettered')).toHaveLength(2)
    const often = setup({ maxAttempts: 3, handler: failing(new Error('x'), '0', '1') })
    expect(
      numbersOf(await often.lambda({ Records: [aRecord({ count: 3 }, 0), aRecord({ key: 'other', count: 2 }, 1)] })),
    ).toEqual([1])
  })

  it('an outage dead-letters nothing, however often the message was received', async () => {
    const { lambda, sent } = setup({ maxAttempts: 3, handler: failing(new HandlerOutageError('away'), '0') })

    expect(numbersOf(await lambda({ Records: [aRecord({ count: 99 }, 0)] }))).toEqual([0])
    expect(sent).toEqual([])
  })

  it('without a place for dead letters the queue has the last word', async () => {
    const lambda = createLambdaHandler({ handler: failing(new PermanentFailure('never'), '0') })

    expect(numbersOf(await lambda({ Records: [aRecord({}, 0)] }))).toEqual([0])
  })

  it('answers before its time is over, although a handler does not end', async () => {
    const aborted: boolean[] = []
    const { lambda } = setup({
      handler: ({ message, signal }) => {
        if (textOf(message) === '0') return Promise.resolve()
        signal.addEventListener('abort', () => aborted.push(true))
        return new Promise(() => {})
      },
    })

    const answer = await lambda(
      { Records: [0, 1].map((number) => aRecord({ fifo: false }, number)) },
      { getRemainingTimeInMillis: () => 1_020 },
    )

    expect(numbersOf(answer)).toEqual([1])
    expect(aborted).toEqual([true])
  })
})
