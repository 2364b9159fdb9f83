import { createNoopMeter, type Meter } from '@opentelemetry/api'
import { idempotencyMetrics, inboxMetrics } from '@malote/idempotency/otel'
import { consumerMetrics, observeOutbox, relayMetrics } from '@malote/outbox-core/otel'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

interface Instrument {
  readonly name: string
  readonly kind: string
  readonly unit: string
}

const kinds: Readonly<Record<string, string>> = {
  createCounter: 'counter',
  createGauge: 'gauge',
  createHistogram: 'histogram',
  createObservableGauge: 'gauge',
}

/** The instruments that are made with the meter given. */
function instrumentsOf(make: (meter: Meter) => void): Instrument[] {
  const made: Instrument[] = []
  const record = (target: Meter, method: keyof Meter): unknown => {
    const original = target[method] as (...args: unknown[]) => unknown
    return (name: string, options?: { readonly unit?: string }) => {
      if (method.startsWith('create')) made.push({ name, kind: kinds[method] ?? method, unit: options?.unit ?? '' })
      return original.call(target, name, options)
    }
  }
  make(new Proxy(createNoopMeter(), { get: (target, method) => record(target, method as keyof Meter) }))
  return made
}

/** The rows of all tables of the page whose first cell is an instrument. */
function documented(): Instrument[] {
  const page = readFileSync(new URL('../observability.md', import.meta.url), 'utf8')
  const rows = page.matchAll(/^\| `(malote\.[\w.]+)` \| (\w+) \| (?:`([^`]+)`)? ?\|/gm)
  return [...rows].map(([, name = '', kind = '', unit = '']) => ({ name, kind, unit }))
}

it('the page lists every instrument there is, with its kind and unit, and no other', () => {
  const made = instrumentsOf((meter) => {
    relayMetrics({ meter })
    consumerMetrics({ meter })
    observeOutbox({ query: async () => ({ rows: [] }) }, { meter })
    inboxMetrics({ meter })
    idempotencyMetrics({ meter })
  })

  const byName = (a: Instrument, b: Instrument) => a.name.localeCompare(b.name)
  expect(documented().sort(byName)).toEqual(made.sort(byName))
  expect(made.length).toBeGreaterThan(35)
})
