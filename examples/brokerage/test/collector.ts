import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

/** An OpenTelemetry collector that keeps what it is sent (OTLP over HTTP, JSON). */
export interface Collector {
  readonly url: string
  /** `service: span`, of one trace, and of each span that works on messages of it in a batch: `service: operation topic`. */
  spansOf(traceId: string): readonly string[]
  /** The spans of other traces that say they belong to this one too. */
  linksTo(traceId: string): readonly string[]
  close(): Promise<void>
}

interface Span {
  readonly name: string
  readonly traceId: string
  readonly links?: readonly { readonly traceId: string; readonly attributes?: readonly Attribute[] }[]
}
interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string }
}
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[]
  }[]
}

export async function startCollector(): Promise<Collector> {
  const received: (Span & { readonly service: string })[] = []
  const server = createServer((request, response) => {
    json(request)
      .then((body) => {
        for (const { resource, scopeSpans } of (body as Export).resourceSpans) {
          const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? ''
          for (const { spans } of scopeSpans) received.push(...spans.map((span) => ({ ...span, service })))
        }
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      })
      .catch(() => response.writeHead(400).end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const namesOf = (spans: typeof received): readonly string[] => spans.map(({ service, name }) => `${service}: ${name}`)
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    spansOf: (traceId) => [
      ...namesOf(received.filter((span) => span.traceId === traceId)),
      ...received.flatMap(({ service, name, links = [] }) =>
        links.flatMap((link) => {
          const topic = link.attributes?.find(({ key }) => key === 'messaging.destination.name')?.value.stringValue
          if (link.traceId !== traceId || topic === undefined) return []
          return [`${service}: ${name.replace(/ .*/, '')} ${topic}`]
        }),
      ),
    ],
    linksTo: (traceId) =>
      namesOf(received.filter(({ links = [] }) => links.some((link) => link.traceId === traceId))).map((name) =>
        name.replace(/ order-\w+$/, ''),
      ),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
