// #region lambda-consumer
import type { SQSClient } from '@aws-sdk/client-sqs'
import { createLambdaHandler, type SqsLambdaEvent, type SqsLambdaResponse } from '@malote/adapter-sqs'
import { createHandlers, createInbox } from '@malote/idempotency'
import { defineCatalog } from '@malote/outbox-core'
import type { Pool } from 'pg'
import { z } from 'zod'

const catalog = defineCatalog({
  'order.accepted': { topic: 'orders', schema: z.object({ orderId: z.string(), cents: z.int().positive() }) },
})

/** For a function with an SQS event source. Pool and client are made once, outside of the handler. */
export function createSalesFunction(
  pool: Pool,
  client: SQSClient,
  deadLetterQueueUrl: string,
): (event: SqsLambdaEvent, context?: { getRemainingTimeInMillis(): number }) => Promise<SqsLambdaResponse> {
  return createLambdaHandler({
    deadLetters: { client, queueUrl: deadLetterQueueUrl },
    handler: createHandlers(
      catalog,
      {
        'order.accepted': async ({ orderId, cents }, tx) => {
          await tx.query('insert into sales (order_id, cents) values ($1, $2)', [orderId, cents])
        },
      },
      { inbox: createInbox(), db: pool, consumer: 'sales' },
    ),
  })
}
// #endregion
