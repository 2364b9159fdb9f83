import { DeleteMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { abortAfter, afterThisTurn } from '@malote/outbox-core/adapter'

export interface Acknowledger {
  /** Deletes the message for good. @throws when SQS refused or was out of reach: the message will come again */
  acknowledge(receiptHandle: string): Promise<void>
}

interface Waiting {
  readonly receiptHandle: string
  resolve(): void
  reject(error: unknown): void
}

const maxEntries = 10

/** Deletes by the batch: what is acknowledged while requests are under way shares the next one. */
export function createAcknowledger(
  client: Pick<SQSClient, 'send'>,
  queueUrl: string,
  options: { readonly maxRequests: number; readonly timeoutMs: number },
): Acknowledger {
  const waiting: Waiting[] = []
  let requests = 0

  async function send(): Promise<void> {
    const batch = waiting.splice(0, maxEntries)
    const Entries = batch.map(({ receiptHandle }, index) => ({ Id: String(index), ReceiptHandle: receiptHandle }))
    requests++
    try {
      const answer = await client.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries }), {
        abortSignal: abortAfter(options.timeoutMs),
      })
      const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]))
      batch.forEach((one, index) => {
        const refusal = failed.get(String(index))
        if (refusal === undefined) one.resolve()
        else one.reject(new Error(`SQS did not delete the message: ${refusal.Code ?? ''}: ${refusal.Message ?? ''}`))
      })
    } catch (error) {
      for (const one of batch) one.reject(error)
    } finally {
      requests--
      sendNext()
    }
  }

  function sendNext(): void {
    if (waiting.length > 0 && requests < options.maxRequests) void send()
  }

  return {
    acknowledge: (receiptHandle) =>
      new Promise((resolve, reject) => {
        waiting.push({ receiptHandle, resolve, reject })
        // Handlers that end in the same turn of the event loop share a request.
        afterThisTurn(sendNext)
      }),
  }
}
