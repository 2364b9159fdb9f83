import assert from 'node:assert/strict'
import type { ConformanceCase } from '../conformance.ts'
import { anOutboxMessage } from '../an-outbox-message.ts'
import type { OutboxMessage } from '../../message.ts'
import type { PublishedRecord, PublisherHarness } from './harness.ts'
import { assertAllAccepted, bytesOf, publish, withPublisher } from './steps.ts'

type Case = ConformanceCase<PublisherHarness>

const traceHeaders = {
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  tracestate: 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
}

/** One byte, no byte, all bytes. */
const bodies: Readonly<Record<string, Partial<OutboxMessage>>> = {
  'a unicode payload': { body: JSON.stringify({ text: 'ação 日本 😀 \u2028' }) },
  'a text with control characters': { body: 'a\u0001b\u000bc\ufffe\uffff\u001b', contentType: 'text/plain' },
  'an empty payload': { body: '', contentType: 'text/plain' },
  'an empty binary payload': { body: new Uint8Array(0), contentType: 'application/octet-stream' },
  'a one-byte payload': { body: '0' },
  'a one-byte binary payload': { body: new Uint8Array([0]), contentType: 'application/octet-stream' },
  'a binary payload of all byte values': {
    body: Uint8Array.from({ length: 512 }, (_, index) => index % 256),
    contentType: 'application/x-protobuf',
  },
}

/** What arrives is what was given: body, headers and identity. */
export const payloadCases: readonly Case[] = [
  ...Object.entries(bodies).map(([name, change]): Case => ({
    name: `${name} comes back byte for byte`,
    run: async (harness) => {
      const { sent, held } = await roundTrip(harness, change)

      assert.deepEqual(new Uint8Array(held.message.body), bytesOf(sent.body))
      assert.equal(held.message.contentType, sent.contentType)
    },
  })),
  {
    name: 'id, type, ordering key, instant and content type come back exactly',
    run: async (harness) => {
      const createdAt = new Date('2026-02-28T23:59:59.123Z')
      const { sent, held } = await roundTrip(harness, { type: 'ordem.aceita/v2', orderingKey: 'conta-1', createdAt })

      const { id, type, orderingKey, contentType } = held.message
      assert.deepEqual(
        { id, type, orderingKey, contentType },
        { id: sent.id, type: sent.type, orderingKey: 'conta-1', contentType: 'application/json' },
      )
      assert.equal(held.message.createdAt.toISOString(), createdAt.toISOString())
    },
  },
  {
    name: 'CloudEvents attributes are native headers that other languages can read',
    run: async (harness) => {
      const { sent, held } = await roundTrip(harness, {})

      const specversion = Object.keys(held.wire).find((name) => name.endsWith('specversion'))
      assert.ok(specversion !== undefined, `no specversion among ${Object.keys(held.wire).join(', ')}`)
      const prefix = specversion.slice(0, -'specversion'.length)
      assert.equal(held.wire[specversion], '1.0')
      assert.equal(held.wire[`${prefix}id`], sent.id)
      assert.equal(held.wire[`${prefix}type`], sent.type)
      assert.ok((held.wire[`${prefix}source`] ?? '').length > 0, 'source is set')
    },
  },
  {
    name: 'trace context makes the round trip and is native',
    run: async (harness) => {
      const { held } = await roundTrip(harness, { headers: traceHeaders })

      assert.deepEqual(held.message.headers, traceHeaders)
      assert.equal(held.wire['traceparent'], traceHeaders.traceparent)
    },
  },
  {
    name: 'thirty user headers and a trace context all come back',
    run: async (harness) => {
      const many = Object.fromEntries(
        Array.from({ length: 30 }, (_, index) => [`header-${String(index)}`, `value ${String(index)}`]),
      )
      const { held } = await roundTrip(harness, { orderingKey: 'k', headers: { ...many, ...traceHeaders } })

      assert.deepEqual({ ...held.message.headers }, { ...many, ...traceHeaders })
    },
  },
  {
    name: 'headers with capitals, spaces, accents, empty and control values come back',
    run: async (harness) => {
      const headers = {
        'X-Tenant': 'B3',
        'with space': 'x',
        ação: 'não 😀',
        empty: '',
        control: 'a\u0001\nb',
        'AWS.x': '1',
      }
      const { held } = await roundTrip(harness, { headers })

      assert.deepEqual({ ...held.message.headers }, headers)
    },
  },
  {
    name: "a user header cannot take the place of the message's own attributes",
    run: async (harness) => {
      const names = ['ce-id', 'ce_id', 'ce-type', 'ce_type', 'cloudEvents:id', 'cloudEvents_type', 'content-type']
      const { sent, held } = await roundTrip(harness, {
        headers: Object.fromEntries(names.map((name) => [name, 'forged'])),
      })

      assert.equal(held.message.id, sent.id)
      assert.equal(held.message.type, sent.type)
      assert.equal(held.message.contentType, sent.contentType)
    },
  },
]

async function roundTrip(
  harness: PublisherHarness,
  change: Partial<OutboxMessage>,
): Promise<{ sent: OutboxMessage; held: PublishedRecord }> {
  const topic = await harness.freshTopic()
  const sent = anOutboxMessage({ ...change, topic })
  await withPublisher(harness, async (publisher) => assertAllAccepted(await publish(harness, publisher, [sent])))
  const held = await harness.receive(topic, 1)
  assert.equal(held.length, 1, 'the broker holds the message once')
  return { sent, held: held[0] as PublishedRecord }
}
