import {
  type Message,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { type ConsumerEvent, exponentialBackoff } from '@malote/outbox-core'
import { type Clock, within } from '@malote/outbox-core/adapter'

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
  /** @param maxRequests - requests under way at the same time, when the queue has that much to give */
  start(maxRequests: number): void
  /** Gives up waiting for messages. Resolves when the last request ended. */
  stop(): Promise<void>
}

const maxMessages = 10
/** An answer of this many says that there is more: one more request is worth its price. */
const worthMore = 5
/** An answer that is later than this after its waiting time will not come. */
const overdueMs = 10_000

/** Receives by long polling, with a backoff while the queue is out of reach. */
export function createReceiver(options: ReceiverOptions): Receiver {
  return new SqsReceiver(options)
}

class SqsReceiver implements Receiver {
  readonly #options: ReceiverOptions
  readonly #stopping = new AbortController()
  readonly #backoff = exponentialBackoff({ baseMs: 200, maxMs: 10_000 })
  readonly #requests = new Set<Promise<unknown>>()
  #failures = 0
  #maxLoops = 1
  #loops = 0

  constructor(options: ReceiverOptions) {
    this.#options = options
  }

  start(maxRequests: number): void {
    this.#maxLoops = maxRequests
    void this.#loop()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await within(1_000, Promise.allSettled(this.#requests))
  }

  /**
   * One request waits for messages; as many more as were allowed run while answers are well filled. More that wait side by
   * side would each come back with a message or two, and be paid for as if they had brought ten.
   */
  async #loop(): Promise<void> {
    this.#loops++
    while (!this.#stopping.signal.aborted) {
      const isWorthMore = (await this.#once()) >= worthMore
      if (isWorthMore && this.#loops < this.#maxLoops) void this.#loop()
      if (!isWorthMore && this.#loops > 1) break
    }
    this.#loops--
  }

  /** @returns how many messages came */
  async #once(): Promise<number> {
    const { clock, report } = this.#options
    const stopping = this.#stopping.signal
    const asked = Math.min(await this.#options.room(), maxMessages)
    let messages: readonly Message[] = []
    let retryInMs = 0
    try {
      if (!stopping.aborted) messages = await this.#tracked(this.#receive(asked))
      if (this.#failures > 0 && !stopping.aborted) {
        this.#failures = 0
        report({ type: 'consumer.reconnected' })
      }
    } catch (error) {
      if (stopping.aborted) return 0
      retryInMs = this.#backoff(++this.#failures)
      if (this.#failures === 1) report({ type: 'consumer.disconnected', error, retryInMs })
    } finally {
      this.#options.onMessages(messages, asked)
    }
    if (retryInMs > 0) await clock.sleep(retryInMs, stopping)
    return messages.length
  }

  async #receive(asked: number): Promise<readonly Message[]> {
    const { client, clock } = this.#options
    // While it was out of reach, an answer that comes at once is worth more than one that waits for messages.
    const waitTimeMs = this.#failures > 0 ? 0 : this.#options.waitTimeMs
    // A controller for each request: signals made by `AbortSignal.any` outlive their requests on some versions of Node.
    const request = new AbortController()
    const giveUp = (): void => request.abort()
    const cancelTimer = clock.after(waitTimeMs + overdueMs, giveUp)
    this.#stopping.signal.addEventListener('abort', giveUp)
    try {
      const answer = await client.send(new ReceiveMessageCommand(parameters(this.#options, asked, waitTimeMs)), {
        abortSignal: request.signal,
      })
      return answer.Messages ?? []
    } finally {
      cancelTimer()
      this.#stopping.signal.removeEventListener('abort', giveUp)
    }
  }

  async #tracked<Result>(request: Promise<Result>): Promise<Result> {
    this.#requests.add(request)
    return await request.finally(() => this.#requests.delete(request))
  }
}

function parameters(options: ReceiverOptions, asked: number, waitTimeMs: number): ReceiveMessageCommandInput {
  return {
    QueueUrl: options.queueUrl,
    MaxNumberOfMessages: asked,
    WaitTimeSeconds: Math.round(waitTimeMs / 1_000),
    VisibilityTimeout: Math.ceil(options.visibilityTimeoutMs / 1_000),
    MessageAttributeNames: ['All'],
    MessageSystemAttributeNames: [
      'ApproximateReceiveCount',
      'MessageGroupId',
      'MessageDeduplicationId',
      'SentTimestamp',
    ],
  }
}
