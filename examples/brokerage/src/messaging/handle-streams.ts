import { type Delivery, inBatches, type StreamHandler } from '@malote/outbox-core'
import { currentTraceContext } from '@malote/outbox-core/otel'
import type { TraceHeaders } from '../orders/order-events.ts'
import type { Apply } from './apply-once.ts'

/**
 * A consumer's handler that reads each message and has it applied, together with what waits behind it under its ordering key: a hot account
 * gets on by the dozen, and not one commit after the other.
 *
 * @param read - what a message means for this consumer. Called for all of a batch at once, in order; when one throws, none is applied, and
 *   the consumer handles them one by one
 */
export function handleStreams<Input>(
  apply: Apply<Input>,
  read: (delivery: Delivery, trace: TraceHeaders) => Input | Promise<Input>,
): StreamHandler {
  return inBatches(
    async (deliveries) => {
      const reading = deliveries.map(async (delivery) => ({
        delivery,
        input: await read(delivery, deliveries.length === 1 ? currentTraceContext() : traceOf(delivery)),
      }))
      // Nobody is left behind reading a message that is handled again meanwhile.
      await Promise.allSettled(reading)
      return apply(await Promise.all(reading))
    },
    { byStream: true },
  )
}

/** A batch belongs to no single trace, so its messages continue the ones that they came with. */
function traceOf({ message: { headers } }: Delivery): TraceHeaders {
  const { traceparent, tracestate } = headers
  return { ...(traceparent === undefined ? {} : { traceparent }), ...(tracestate === undefined ? {} : { tracestate }) }
}
