// The messages of this service: what each carries and where it goes. Producers and consumers share it.
import { defineCatalog } from '@malote/outbox-core'
import { z } from 'zod'

export const catalog = defineCatalog({
  'order.accepted': { topic: 'orders', schema: z.object({ orderId: z.string(), cents: z.int().positive() }) },
})
