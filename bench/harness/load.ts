/** The same message for everyone: about 200 bytes of JSON, like a small business event. */
export const payload: Readonly<Record<string, unknown>> = {
  orderId: '0f8fad5b-d9cb-469f-a165-70867728950e',
  accountId: 'account-0000004211',
  asset: 'PETR4',
  side: 'buy',
  amountInCents: 1_250_000,
  placedAt: '2026-11-20T12:00:00.000Z',
  note: 'x'.repeat(20),
}

export const payloadText: string = JSON.stringify(payload)

export const topic = 'orders'
export const type = 'order.accepted'
