import { createServer, type IncomingMessage, request as send, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export type SqsRefusal = 'away' | 'throttled'

/** Something before an SQS that refuses sends in the words of AWS, and passes everything else on. */
export interface SqsGate {
  readonly port: number
  /** How sends to the queue are refused from now on; null lets them pass. */
  refuse(how: SqsRefusal | null, queue: string): void
  close(): Promise<void>
}

const refusals = {
  away: { code: 'QueueDoesNotExist', legacy: 'AWS.SimpleQueueService.NonExistentQueue' },
  throttled: { code: 'RequestThrottled', legacy: 'RequestThrottled' },
} as const

/** Emulators throttle nobody, and a queue that is deleted takes with it what it had acknowledged. */
export async function startSqsGate(serverPort: number): Promise<SqsGate> {
  const refusing = new Map<string, SqsRefusal>()
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()))

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isSend = String(request.headers['x-amz-target']).startsWith('AmazonSQS.SendMessage')
    const sent = isSend ? await text(request) : null
    const { QueueUrl: queueUrl = '' } = sent === null ? {} : (JSON.parse(sent) as { QueueUrl?: string })
    const refusal = refusing.get(queueUrl.slice(queueUrl.lastIndexOf('/') + 1))
    if (refusal !== undefined) {
      const { code, legacy } = refusals[refusal]
      response.writeHead(400, {
        'content-type': 'application/x-amz-json-1.0',
        'x-amzn-query-error': `${legacy};Sender`,
      })
      response.end(JSON.stringify({ __type: `com.amazonaws.sqs#${code}`, message: `refused: ${code}` }))
      return
    }
    const { method, url: path, headers } = request
    const passed = send({ host: '127.0.0.1', port: serverPort, method, path, headers }, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(response)
      reply.on('error', () => response.destroy())
    })
    passed.on('error', () => response.destroy()) // The server is down: so is the gate.
    response.on('close', () => passed.destroy())
    if (sent === null) request.pipe(passed)
    else passed.end(sent)
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    refuse: (how, queue) => {
      if (how === null) refusing.delete(queue)
      else refusing.set(queue, how)
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
