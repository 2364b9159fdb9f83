import { createRabbitmqPublisher } from '@malote/adapter-rabbitmq'
import { startRabbitmq } from '@malote/testing/services/rabbitmq'
import { type ConfirmChannel, connect } from 'amqplib'
import { payloadText, topic, type } from '../harness/load.ts'
import { type BrokerRig, envelopeOf, source } from './broker-rig.ts'

const exchange = 'bench'
const maxUnconfirmed = 1_000

export async function createRabbitmqRig(): Promise<BrokerRig> {
  const broker = await startRabbitmq()
  const connection = await connect(broker.url)
  const channel = await connection.createConfirmChannel()
  await channel.assertExchange(exchange, 'direct', { durable: true })
  await channel.assertQueue(topic, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  await channel.bindQueue(topic, exchange, topic)
  return {
    name: 'rabbitmq',
    configuration: `RabbitMQ (${broker.origin}), one quorum queue; alone: amqplib, one confirm channel, persistent, mandatory, ${String(maxUnconfirmed)} unconfirmed`,
    publisher: () => createRabbitmqPublisher({ connect: () => connect(broker.url), source, exchange }),
    reset: () => channel.purgeQueue(topic),
    publishAlone: (count) => publishAlone(channel, count),
    close: async () => {
      await connection.close()
      await broker.dispose()
    },
  }
}

/** Keeps `maxUnconfirmed` messages under way. */
function publishAlone(channel: ConfirmChannel, count: number): Promise<void> {
  const content = Buffer.from(payloadText)
  return new Promise((resolve, reject) => {
    let sent = 0
    let confirmed = 0
    const confirm = (error: unknown): void => {
      if (error !== null && error !== undefined) return reject(error)
      if (++confirmed === count) resolve()
      else if (sent < count) send()
    }
    const send = (): void => {
      sent++
      const { id, headers } = envelopeOf('cloudEvents:')
      const properties = {
        mandatory: true,
        persistent: true,
        messageId: id,
        contentType: 'application/json',
        type,
        headers,
      }
      channel.publish(exchange, topic, content, properties, confirm)
    }
    while (sent < Math.min(count, maxUnconfirmed)) send()
  })
}
