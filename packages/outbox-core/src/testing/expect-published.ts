import { AssertionError } from 'node:assert'
import { systemClock } from '../clock.ts'
import { patience } from './patience.ts'
import type { OutboxMessage } from '../message.ts'
import type { MemoryBroker } from './memory-broker.ts'

/** What a published message must have. Fields left out may be anything. */
export interface ExpectedMessage {
  readonly topic?: string
  readonly type?: string
  readonly orderingKey?: string | null
  /** Compared with the body as JSON. Members that are left out of an object may be anything; arrays must have the same length. */
  readonly payload?: unknown
  /** Those headers at least. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Resolves with the first message that the broker has accepted, or accepts within `withinMs`, and that is as expected.
 *
 * For any test runner. After `relay.runOnce()` there is nothing to wait for: `withinMs: 0` fails at once.
 *
 * @param options.withinMs - in milliseconds, times `MALOTE_PATIENCE` as `eventually` counts. @defaultValue 5_000
 * @throws AssertionError that lists what was published: topics, types and keys, and the payloads of the expected type
 */
export async function expectPublished(
  broker: MemoryBroker,
  expected: ExpectedMessage,
  options: { readonly withinMs?: number } = {},
): Promise<OutboxMessage> {
  const withinMs = Math.round((options.withinMs ?? 5_000) * patience())
  const over = new AbortController()
  const timeout = systemClock.sleep(withinMs, over.signal)
  const deadlineMs = systemClock.monotonicMs() + withinMs
  try {
    for (;;) {
      const found = broker.accepted.find((message) => fits(message, expected))
      if (found !== undefined) return found
      if (systemClock.monotonicMs() >= deadlineMs) throw notPublished(broker.accepted, expected)
      await Promise.race([broker.received(broker.accepted.length + 1), timeout])
    }
  } finally {
    over.abort()
  }
}

function fits(message: OutboxMessage, { payload, headers, ...rest }: ExpectedMessage): boolean {
  if (!contains(message, rest) || !contains(message.headers, headers ?? {})) return false
  return payload === undefined || contains(payloadOf(message), payload)
}

/** Whether everything that is expected is there, and the same. */
function contains(actual: unknown, expected: unknown): boolean {
  if (typeof expected !== 'object' || expected === null) return Object.is(actual, expected)
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual) !== Array.isArray(expected)) return false
  if (Array.isArray(expected) && expected.length !== (actual as unknown[]).length) return false
  return Object.entries(expected).every(([name, value]) => contains((actual as Record<string, unknown>)[name], value))
}

function payloadOf({ body }: OutboxMessage): unknown {
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body)
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function notPublished(accepted: readonly OutboxMessage[], expected: ExpectedMessage): AssertionError {
  const seen = accepted.map((message) => {
    const { topic, type, orderingKey } = message
    const line = `${topic} ${type}${orderingKey === null ? '' : ` key=${orderingKey}`}`
    return type === expected.type ? `${line} ${JSON.stringify(payloadOf(message))}` : line
  })
  const list = seen.length === 0 ? 'nothing' : `\n  ${seen.join('\n  ')}`
  return new AssertionError({
    message: `no published message is like ${JSON.stringify(expected)}; published: ${list}`,
    stackStartFn: expectPublished,
  })
}
