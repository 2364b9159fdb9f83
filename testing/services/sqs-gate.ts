import { createServer, request as send } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

export type SqsRefusal = 'away' | 'throttled'

/** Something before an SQS that refuses sends in the words of AWS, and passes everything else on. */
export interface SqsGate {
  readonly port: number
  /** How sends are refused from now on; null lets them pass. */
  refuse(how: SqsRefusal | null): void
  close(): Promise<void>
}

const refusals = {
  away: { code: 'QueueDoesNotExist', legacy: 'AWS.SimpleQueueService.NonExistentQueue' },
  throttled: { code: 'RequestThrottled', legacy: 'RequestThrottled' },
} as const

/** Emulators throttle nobody, and a queue that is deleted takes with it what it had acknowledged. */
export async function startSqsGate(serverPort: number): Promise<SqsGate> {
  let refusing: SqsRefusal | null = null
  const server = createServer((request, response) => {
    const target = String(request.headers['x-amz-target'])
    if (refusing !== null && target.startsWith('AmazonSQS.SendMessage')) {
      const { code, legacy } = refusals[refusing]
      request.resume()
      response.writeHead(400, {
        'content-type': 'application/x-amz-json-1.0',
        'x-amzn-query-error': `${legacy};Sender`,
      })
      response.end(JSON.stringify({ __type: `com.amazonaws.sqs#${code}`, message: `refused: ${code}` }))
      return
    }
    const { method, url: path, headers } = request
    const passed = send({ host: '127.0.0.1', port: serverPort, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
      answer.on('error', () => response.destroy())
    })
    passed.on('error', () => response.destroy()) // The server is down: so is the gate.
    response.on('close', () => passed.destroy())
    request.pipe(passed)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    refuse: (how) => {
      refusing = how
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
