import { type Connection, instancesChannel } from '@platformatic/kafka'
import { randomUUID } from 'node:crypto'
import { kafkajsClient } from '../src/clients/kafkajs.ts'
import { platformaticClient } from '../src/clients/platformatic/index.ts'
import type { KafkaClient } from '../src/index.ts'
import { kafkaClient } from './kafka-broker.ts'
import { createSockets, type Sockets } from './sockets.ts'

/** A client with the connections it makes. */
export interface ClientUnderTest {
  readonly client: KafkaClient
  readonly sockets: Pick<Sockets, 'open' | 'cut' | 'sever'>
}

/** Every client library that the adapter has a binding to and that is here, by the name its column has. */
export const clients = {
  kafkajs: (brokers: readonly string[]): ClientUnderTest => {
    const sockets = createSockets()
    return { client: kafkajsClient(kafkaClient(brokers, sockets)), sockets }
  },
  platformatic: (brokers: readonly string[]): ClientUnderTest => {
    const context = randomUUID()
    const client = platformaticClient({ clientId: 'tests', bootstrapBrokers: [...brokers], context })
    return { client, sockets: platformaticSockets(context) }
  },
}

/** The library tells of each connection it makes, and opens the socket itself. */
function platformaticSockets(context: string): Pick<Sockets, 'open' | 'cut' | 'sever'> {
  const connections = new Set<Connection>()
  let severed = false
  instancesChannel.subscribe((message) => {
    const { type, instance } = message as { type: string; instance: Connection }
    if (type !== 'connection' || instance.context !== context) return
    connections.add(instance)
    instance.once('close', () => connections.delete(instance))
    // As soon as there is a socket: 'connecting' is told just before.
    instance.once('connecting', () => {
      if (severed) queueMicrotask(() => instance.socket.destroy(new Error('severed by the test')))
    })
  })

  function cut(): void {
    for (const { socket } of connections) socket.destroy(new Error('cut by the test'))
  }

  return {
    get open() {
      return [...connections].filter(({ socket }) => !socket.destroyed).length
    },
    cut,
    sever: () => {
      severed = true
      cut()
    },
  }
}
