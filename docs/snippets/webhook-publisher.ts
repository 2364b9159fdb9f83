import { encodeEnvelope, decodeEnvelope, createMessagePublisher } from '@malote/outbox-core/adapter'
import type { OutboxMessage, PublishFailure, Publisher, ReceivedMessage } from '@malote/outbox-core'

export interface WebhookPublisherOptions {
  /** Where a topic's messages are posted to. */
  readonly url: (topic: string) => string
  /** CloudEvents `source`. */
  readonly source: string
  readonly maxMessageBytes?: number
}

/** Posts each message as a CloudEvent in HTTP binary mode. The receiver answers 2xx when it has the message durably. */
export function createWebhookPublisher({
  url,
  source,
  maxMessageBytes = 1_000_000,
}: WebhookPublisherOptions): Publisher {
  return createMessagePublisher({
    name: 'webhook',
    send: async (message, signal) => {
      const body = Buffer.from(message.body)
      if (body.length > maxMessageBytes)
        return { kind: 'permanent', code: 'TOO_LARGE', message: `the body has ${String(body.length)} bytes` }
      // Whatever fetch throws means that nobody answered: an outage, for which no message pays.
      const response = await fetch(url(message.topic), {
        method: 'POST',
        headers: encodeHeaders(message, source),
        body,
        signal,
      })
      await response.body?.cancel()
      return response.ok ? null : failureOf(response, url(message.topic))
    },
  })
}

function failureOf({ status, headers }: Response, destination: string): PublishFailure {
  const words = { code: `HTTP_${String(status)}`, message: `the receiver answered ${String(status)}` }
  // Only 422 is about this very message. All else somebody can mend: a wrong URL, a missing permission, a receiver that is down.
  if (status === 422) return { kind: 'retryable', ...words }
  const seconds = Number(headers.get('retry-after'))
  return { kind: 'unavailable', destination, ...words, ...(seconds > 0 ? { retryAfterMs: seconds * 1_000 } : {}) }
}

const packedHeader = 'malote-headers'

/** HTTP carries printable ASCII and takes names for the same whatever their case: what does not fit travels as JSON in one header. */
function encodeHeaders(message: OutboxMessage, source: string): Record<string, string> {
  const all = Object.entries({ ...encodeEnvelope(message, { prefix: 'ce-', source }), 'malote-topic': message.topic })
  const isNative = ([name, value]: [string, string]): boolean =>
    /^(?:ce-|malote-topic$|content-type$|traceparent$|tracestate$)/.test(name) && /^[!-~](?:[ -~]*[!-~])?$/.test(value)
  const native = all.filter(isNative)
  const packed = Object.fromEntries(all.filter((header) => !isNative(header)))
  return { ...Object.fromEntries(native), [packedHeader]: encodeURIComponent(JSON.stringify(packed)) }
}

/** What the receiver makes of a request. @throws OutboxError `UNDECODABLE_MESSAGE` */
export function decodeWebhook(headers: Readonly<Record<string, string>>, body: Uint8Array): ReceivedMessage {
  const { [packedHeader]: packed = '%7B%7D', ...native } = headers
  const own = Object.entries(native).filter(([name]) => /^(?:ce-|malote-topic$|content-type$|trace)/.test(name))
  const all = { ...Object.fromEntries(own), ...(JSON.parse(decodeURIComponent(packed)) as Record<string, string>) }
  return decodeEnvelope(all, body, all['malote-topic'] ?? '', 'ce-')
}
