import { fileURLToPath } from 'node:url'
import {
  ReceiveMessageCommand,
  type ReceiveMessageCommandOutput,
  SendMessageCommand,
  type SendMessageCommandOutput,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { deadLetterHeader, type DeadLetterNote } from '@malote/outbox-core'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { maloteIn } from '@malote/testing/malote-command'
import { type SqsService, sqsClient, startSqs } from '@malote/testing/services/sqs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSqsConsumer, createSqsPublisher, redriveDeadLetters } from '../src/index.ts'
import { letterAttributes } from '../src/dead-letter.ts'
import { type Queues, queuesOn } from './queues.ts'

/** Where this package and the SDK are installed. */
const malote = maloteIn(fileURLToPath(new URL('..', import.meta.url)), {
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
})

describe('bringing dead letters back', () => {
  let server: SqsService
  let client: SQSClient
  let queues: Queues
  beforeAll(async () => {
    server = await startSqs()
    client = sqsClient(server.endpoint)
    queues = queuesOn(client, server.endpoint, 'standard')
  })
  afterAll(async () => {
    client.destroy()
    await server.close()
  })

  it('the command brings back what its terms name and leaves the rest', async () => {
    const [queue, dead] = [await queues.make(), await queues.make()]
    for (const reason of ['MAX_ATTEMPTS', 'PERMANENT', 'MAX_ATTEMPTS'] as const) {
      const note: DeadLetterNote = { reason, attempts: 5, error: 'E', source: queue, topic: queue, at: 'now' }
      const MessageAttributes = { [deadLetterHeader]: { DataType: 'String', StringValue: JSON.stringify(note) } }
      await client.send(
        new SendMessageCommand({ QueueUrl: queues.urlOf(dead), MessageBody: reason, MessageAttributes }),
      )
    }
    const words = ['redrive', '--broker', 'sqs', '--url', server.endpoint, '--where', 'reason=MAX_ATTEMPTS']
    const places = ['--from', queues.urlOf(dead), '--to', queues.urlOf(queue)]

    expect(await malote(...words, ...places, '--yes')).toMatchObject({ code: 0, stdout: 'brought back 2, left 1\n' })

    expect((await queues.drain(queue, 2, 5_000)).map(({ Body }) => Body)).toEqual(['MAX_ATTEMPTS', 'MAX_ATTEMPTS'])
    expect((await queues.drain(dead, 1, 5_000)).map(({ Body }) => Body)).toEqual(['PERMANENT'])
  })

  it('a message of a fair queue keeps its group when it is put away and when it comes back', async () => {
    // Another queue to come back to: the receive that `stop` gives up may still be handed what comes to the first.
    const [queue, dead, other] = [await queues.make(), await queues.make(), await queues.make()]
    const fair = keepsGroups(client)
    const places = { client: fair, queueUrl: queues.urlOf(queue), deadLetterQueueUrl: queues.urlOf(dead) }
    const putAway = Promise.withResolvers<void>()
    const consumer = createSqsConsumer({
      ...places,
      handler: () => Promise.resolve(),
      onEvent: ({ type }) => type === 'message.dead-lettered' && putAway.resolve(),
    })
    await consumer.start()
    const message = { QueueUrl: places.queueUrl, MessageBody: 'not ours', MessageGroupId: 'tenant' }
    await fair.send(new SendMessageCommand(message))
    await putAway.promise
    await consumer.stop()

    expect(await redriveDeadLetters({ ...places, queueUrl: queues.urlOf(other) })).toEqual({ redriven: 1, kept: 0 })

    const receive = { QueueUrl: queues.urlOf(other), MessageSystemAttributeNames: letterAttributes, WaitTimeSeconds: 5 }
    const [back] = (await fair.send(new ReceiveMessageCommand(receive))).Messages ?? []
    expect([back?.Body, back?.Attributes?.MessageGroupId]).toEqual(['not ours', 'tenant'])
  })

  it('what the redrive policy of the queue put away comes back by its reason', async () => {
    const dead = await queues.make()
    const arn = (name: string): string => `arn:aws:sqs:us-east-1:000000000000:${name}`
    const policy = { deadLetterTargetArn: arn(dead), maxReceiveCount: 1 }
    const queue = await queues.make({ RedrivePolicy: JSON.stringify(policy), VisibilityTimeout: '0' })
    const publisher = createSqsPublisher({ client, queueUrl: queues.urlOf, source: '/tests' })
    const message = anOutboxMessage({ topic: queue })
    await publisher.publish([message], new AbortController().signal)
    const receive = new ReceiveMessageCommand({ QueueUrl: queues.urlOf(queue) })
    // The first one gets it, and does not delete it; the second sees it go.
    await eventually(async () => expect((await client.send(receive)).Messages).toHaveLength(1))
    await eventually(async () => expect((await client.send(receive)).Messages ?? []).toHaveLength(0))
    const options = { client: saysWhereFrom(client, arn(queue)), queueUrl: queues.urlOf(queue) }
    const redrive = (reason: string): ReturnType<typeof redriveDeadLetters> =>
      redriveDeadLetters({
        ...options,
        deadLetterQueueUrl: queues.urlOf(dead),
        where: (note) => note?.reason === reason && note.topic === queue,
      })

    expect(await redrive('MAX_ATTEMPTS')).toEqual({ redriven: 0, kept: 1 })
    expect(await redrive('DELIVERY_LIMIT')).toEqual({ redriven: 1, kept: 0 })

    const [back] = await queues.drain(queue, 1, 5_000)
    expect(back?.MessageAttributes?.['ce-id']?.StringValue).toBe(message.id)
    await publisher.close()
  })
})

/** AWS says of a message that a redrive policy moved which queue it was moved from; the emulator moves it and does not say so. */
function saysWhereFrom(client: SQSClient, arn: string): Pick<SQSClient, 'send'> {
  const send = async (command: Parameters<SQSClient['send']>[0]): Promise<unknown> => {
    const answer: unknown = await client.send(command)
    if (command instanceof ReceiveMessageCommand)
      for (const { Attributes } of (answer as ReceiveMessageCommandOutput).Messages ?? [])
        if (Attributes !== undefined) Attributes.DeadLetterQueueSourceArn ??= arn
    return answer
  }
  return { send } as Pick<SQSClient, 'send'>
}

/** AWS keeps the group of a standard queue's message and gives it to whoever asks; the emulator takes it and forgets it. */
function keepsGroups(client: SQSClient): Pick<SQSClient, 'send'> {
  const groups = new Map<string | undefined, string>()
  const send = async (
    command: Parameters<SQSClient['send']>[0],
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<unknown> => {
    const answer: unknown = await client.send(command, options)
    if (command instanceof SendMessageCommand)
      groups.set((answer as SendMessageCommandOutput).MessageId, command.input.MessageGroupId ?? '')
    if (
      command instanceof ReceiveMessageCommand &&
      command.input.MessageSystemAttributeNames?.includes('MessageGroupId')
    )
      for (const message of (answer as ReceiveMessageCommandOutput).Messages ?? [])
        message.Attributes = { MessageGroupId: groups.get(message.MessageId) ?? '', ...message.Attributes }
    return answer
  }
  return { send } as Pick<SQSClient, 'send'>
}
