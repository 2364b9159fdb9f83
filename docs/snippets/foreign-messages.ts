import type { ForeignMessage } from '@malote/outbox-core'

// #region parse
/** The other three use it. */
type Json = Readonly<Record<string, unknown>>

const parse = (body: Uint8Array | string | undefined): Json =>
  JSON.parse(typeof body === 'string' ? body : new TextDecoder().decode(body)) as Json
// #endregion

// #region debezium
/** Debezium's outbox event router on Kafka: the id is a header, the ordering key is the record's key. */
export function debezium(record: {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, unknown>>
}): ForeignMessage | null {
  const { id, eventType } = (record.headers ?? {}) as Readonly<Record<string, Buffer | string | undefined>>
  if (id === undefined) return null // One of ours, or a CloudEvent: the adapter reads those.
  return {
    id: id.toString(),
    // Where the connector adds it: transforms.outbox.table.fields.additional.placement=type:header:eventType
    type: eventType?.toString() ?? 'unknown',
    orderingKey: record.key?.toString() ?? null,
    body: record.value ?? '',
  }
}
// #endregion

// #region masstransit
/** MassTransit's JSON envelope on RabbitMQ: everything is in the body. */
export function massTransit(raw: {
  readonly content: Buffer
  readonly properties: { readonly contentType?: unknown }
}): ForeignMessage | null {
  if (raw.properties.contentType !== 'application/vnd.masstransit+json') return null
  const envelope = parse(raw.content)
  const [type = ''] = envelope['messageType'] as readonly string[]
  return {
    id: String(envelope['messageId']),
    type: type.slice(type.lastIndexOf(':') + 1), // urn:message:Orders.Contracts:OrderAccepted
    createdAt: new Date(String(envelope['sentTime'])),
    body: JSON.stringify(envelope['message']),
  }
}
// #endregion

// #region eventbridge
/** An EventBridge rule with an SQS queue as its target. */
export function eventBridge(raw: { readonly Body?: string | undefined }): ForeignMessage | null {
  const event = parse(raw.Body) as Readonly<Record<string, string | undefined>>
  const { id, 'detail-type': type, time = '', source = '' } = event
  if (id === undefined || type === undefined) return null
  return {
    id,
    type,
    createdAt: new Date(time),
    attributes: { source },
    body: JSON.stringify(event['detail']),
  }
}
// #endregion

// #region plain-json
/** Plain JSON whose own fields say what it is. Without an id of its own a message cannot be applied once. */
export function plainJson(raw: { readonly Body?: string | undefined }): ForeignMessage {
  const order = parse(raw.Body)
  return { id: `order-${String(order['orderId'])}`, type: 'order.accepted', orderingKey: String(order['account']) }
}
// #endregion
