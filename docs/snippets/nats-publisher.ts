import { jetstream, JetStreamApiError } from '@nats-io/jetstream'
import { headers, type NatsConnection, NoRespondersError } from '@nats-io/transport-node'
import { createMessagePublisher, decodeEnvelope, encodeEnvelope } from '@malote/outbox-core/adapter'
import type { OutboxMessage, PublishFailure, Publisher, ReceivedMessage } from '@malote/outbox-core'

export interface NatsPublisherOptions {
  /** Give it `maxReconnectAttempts: -1`: the relay is what decides when to ask again. Closed by whoever made it. */
  readonly connection: NatsConnection
  /** CloudEvents `source`. */
  readonly source: string
  /** Longest wait for JetStream's acknowledgement, in milliseconds. @defaultValue 5_000: a leader's election takes less */
  readonly timeoutMs?: number
}

/** Publishes each message to the JetStream stream of its topic's subject, as a CloudEvent in binary mode. */
export function createNatsPublisher({ connection, source, timeoutMs = 5_000 }: NatsPublisherOptions): Publisher {
  const stream = jetstream(connection)
  return createMessagePublisher({
    name: 'nats',
    send: async (message) => {
      const encoded = encodeHeaders(message, source)
      const most = connection.info?.max_payload ?? 1_048_576
      const lines = [...encoded].map(([name, values]) => `${name}: ${values.join('')}\r\n`)
      const size = Buffer.byteLength(message.body) + Buffer.byteLength(`NATS/1.0\r\n${lines.join('')}\r\n`)
      if (size > most)
        return { kind: 'permanent', code: 'TOO_LARGE', message: `${String(size)} of ${String(most)} bytes` }
      try {
        // It resolves when the stream has stored the message, and not before.
        await stream.publish(message.topic, message.body, { headers: encoded, timeout: timeoutMs })
        return null
      } catch (error) {
        return failureOf(error, message.topic)
      }
    },
  })
}

/** @throws what says nothing about the message: no answer in time, no connection. That is an outage. */
function failureOf(error: unknown, destination: string): PublishFailure {
  // The client calls it "JetStream is not enabled", whatever the cause.
  if (hasCause(error, NoRespondersError))
    return { kind: 'unavailable', destination, code: 'NO_STREAM', message: 'no stream has the subject' }
  if (!(error instanceof JetStreamApiError)) throw error
  const words = { code: `JS_${String(error.code)}`, message: error.message }
  // 10054: larger than this stream takes. All else somebody can mend: a full stream, a missing replica.
  return error.code === 10_054 ? { kind: 'retryable', ...words } : { kind: 'unavailable', destination, ...words }
}

function hasCause(error: unknown, kind: typeof NoRespondersError): boolean {
  return error instanceof Error && (error instanceof kind || hasCause(error.cause, kind))
}

const packedHeader = 'malote-headers'

/** A header of NATS is a line of text: what is none travels as JSON in one header. */
function encodeHeaders(message: OutboxMessage, source: string) {
  const all = Object.entries(encodeEnvelope(message, { prefix: 'ce-', source }))
  const isNative = ([name, value]: [string, string]): boolean =>
    /^(?:ce-|content-type$|traceparent$|tracestate$)/.test(name) && /^[!-~](?:[ -~]*[!-~])?$/.test(value)
  const encoded = headers()
  for (const [name, value] of all.filter(isNative)) encoded.set(name, value)
  const packed = Object.fromEntries(all.filter((header) => !isNative(header)))
  encoded.set(packedHeader, encodeURIComponent(JSON.stringify(packed)))
  return encoded
}

/** What a reader makes of a message. @throws OutboxError `UNDECODABLE_MESSAGE` */
export function decodeNats(topic: string, wire: Readonly<Record<string, string>>, body: Uint8Array): ReceivedMessage {
  const { [packedHeader]: packed = '%7B%7D', ...native } = wire
  return decodeEnvelope(
    { ...native, ...(JSON.parse(decodeURIComponent(packed)) as Record<string, string>) },
    body,
    topic,
    'ce-',
  )
}
