// #region prisma
import { createOutbox } from '@malote/outbox-core'
import { prismaTransaction } from '@malote/outbox-core/prisma'
import type { PrismaClient } from './prisma-client.ts'

const outbox = createOutbox()

export async function accept(prisma: PrismaClient, id: string, cents: number): Promise<void> {
  await prisma.$transaction(async (tx) => {
    await tx.$executeRawUnsafe('insert into orders (id, cents) values ($1, $2)', id, cents)
    await outbox.add(prismaTransaction(tx), {
      topic: 'orders',
      type: 'order.accepted',
      orderingKey: id,
      payload: { id, cents },
    })
  })
}
// #endregion
