import { brokerKind } from '../brokers/broker.ts'
import { nowMs } from '../journal.ts'
import { createInbox, type DeliveryHandler, PermanentFailure } from '../library.ts'
import { refusedType } from './doom.ts'
import { startRole } from './role.ts'
import { consumerVariant, handlerVariant, inboxVariant } from './variants.ts'

/** All consumer processes are one consumer to the inbox: they compete for the same messages. */
export const consumerName = 'chaos-consumer'

const role = startRole()
const { settings, journal, failpoints } = role
const pool = role.pool({ max: 10 })
const inbox = inboxVariant(createInbox(), settings.variant)

const apply: DeliveryHandler = async ({ message }) => {
  journal.write({ what: 'arrived', id: message.id, atMs: nowMs() })
  if (message.type === refusedType) throw new PermanentFailure('made to fail by the chaos runner')
  await failpoints.pass('before-effect')
  await inbox.transact(pool, { consumer: consumerName, messageId: message.id }, async (tx) => {
    await tx.query('insert into chaos.effects (consumer, id) values ($1, $2)', [consumerName, message.id])
    await failpoints.pass('effect-applied')
  })
  journal.write({ what: 'applied', id: message.id, atMs: nowMs() })
  await failpoints.pass('before-acknowledge')
}

// Far above what other faults can cause: a consumer that gives up would look like a lost message.
const patient = { maxAttempts: 1_000, backoff: () => 100 + Math.random() * 200 }

const kind = await brokerKind(settings.broker.kind)
const consumer = kind.consumer(settings.broker, {
  handler: handlerVariant(apply, settings.variant),
  ...(settings.refuses ? {} : patient),
  ...consumerVariant(settings.variant),
  onEvent: (event) => {
    if (event.type === 'message.handled') return
    const id = 'id' in event ? event.id : null
    journal.write({ what: 'consumer-event', event: event.type, id, atMs: nowMs() })
  },
})
await consumer.start()
role.serve({
  stop: async () => {
    await consumer.stop({ graceMs: 2_000 })
    await pool.end()
  },
})
