import {
  type Message,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { type ConsumerEvent, exponentialBackoff } from '@malote/outbox-core'
import type { Clock } from '@malote/outbox-core/adapter'
import { within } from './within.ts'

export interface ReceiverOptions {
  readonly client: Pick<SQSClient, 'send'>
  readonly queueUrl: string
  readonly visibilityTimeoutMs: number
  readonly waitTimeMs: number
  readonly clock: Clock
  /** Resolves when there is room for at least one message, with how many. They are reserved until `onMessages` was called. */
  readonly room: () => Promise<number>
  /** @param asked - what `room` had said */
  readonly onMessages: (messages: readonly Message[], asked: number) => void
  readonly report: (event: ConsumerEvent) => void
}

export interface Receiver {
  start(requests: number): void
  /** Gives up waiting for messages. Resolves when the last request ended. */
  stop(): Promise<void>
}

const maxMessages = 10
/** An answer that is later than this after its waiting time will not come. */
const overdueMs = 10_000

/** Receives by long polling, with a backoff while the queue is out of reach. */
export function createReceiver(options: ReceiverOptions): Receiver {
  const { clock, report } = options
  const stopping = new AbortController()
  const backoff = exponentialBackoff({ baseMs: 200, maxMs: 10_000 })
  const requests = new Set<Promise<unknown>>()
  let failures = 0

  async function receive(asked: number): Promise<readonly Message[]> {
    // While it was out of reach, an answer that comes at once is worth more than one that waits for messages.
    const waitTimeMs = failures > 0 ? 0 : options.waitTimeMs
    // A controller for each request: signals made by `AbortSignal.any` outlive their requests on some versions of Node.
    const request = new AbortController()
    const giveUp = (): void => request.abort()
    const cancelTimer = clock.after(waitTimeMs + overdueMs, giveUp)
    stopping.signal.addEventListener('abort', giveUp)
    try {
      const answer = await options.client.send(new ReceiveMessageCommand(parameters(asked, waitTimeMs)), {
        abortSignal: request.signal,
      })
      return answer.Messages ?? []
    } finally {
      cancelTimer()
      stopping.signal.removeEventListener('abort', giveUp)
    }
  }

  function parameters(asked: number, waitTimeMs: number): ReceiveMessageCommandInput {
    return {
      QueueUrl: options.queueUrl,
      MaxNumberOfMessages: asked,
      WaitTimeSeconds: Math.round(waitTimeMs / 1_000),
      VisibilityTimeout: Math.ceil(options.visibilityTimeoutMs / 1_000),
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['ApproximateReceiveCount', 'MessageGroupId', 'MessageDeduplicationId'],
    }
  }

  async function tracked<Result>(request: Promise<Result>): Promise<Result> {
    requests.add(request)
    return await request.finally(() => requests.delete(request))
  }

  async function once(): Promise<void> {
    const asked = Math.min(await options.room(), maxMessages)
    let messages: readonly Message[] = []
    let retryInMs = 0
    try {
      if (!stopping.signal.aborted) messages = await tracked(receive(asked))
      if (failures > 0 && !stopping.signal.aborted) {
        failures = 0
        report({ type: 'consumer.reconnected' })
      }
    } catch (error) {
      if (stopping.signal.aborted) return
      retryInMs = backoff(++failures)
      if (failures === 1) report({ type: 'consumer.disconnected', error, retryInMs })
    } finally {
      options.onMessages(messages, asked)
    }
    if (retryInMs > 0) await clock.sleep(retryInMs, stopping.signal)
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) await once()
  }

  return {
    start: (requests) => {
      for (let index = 0; index < requests; index++) void loop()
    },
    stop: async () => {
      stopping.abort()
      await within(1_000, Promise.allSettled(requests))
    },
  }
}
