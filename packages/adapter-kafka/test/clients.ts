import type * as Confluent from '@confluentinc/kafka-javascript'
import { type Connection, instancesChannel } from '@platformatic/kafka'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { confluentClient } from '../src/clients/confluent.ts'
import { kafkajsClient } from '../src/clients/kafkajs.ts'
import { platformaticClient } from '../src/clients/platformatic/index.ts'
import type { KafkaClient } from '../src/index.ts'
import { kafkaClient } from './kafka-broker.ts'
import { createSockets, type Sockets } from './sockets.ts'

/** A client, and what a test does to its connections. */
export interface ClientUnderTest {
  readonly client: KafkaClient
  /** Null where the library opens its connections out of our reach. */
  readonly sockets: Pick<Sockets, 'open' | 'cut'> | null
  /** Cuts everything that the client made off for good, as a process that is gone. */
  readonly sever: () => void
}

type Connect = (brokers: readonly string[]) => ClientUnderTest

/** Every client library that the adapter has a binding to and that is here, by the name its column has. */
export const clients: Readonly<Record<string, Connect>> = {
  kafkajs: (brokers) => {
    const sockets = createSockets()
    return { client: kafkajsClient(kafkaClient(brokers, sockets)), sockets, sever: () => sockets.sever() }
  },
  platformatic: (brokers) => {
    const context = randomUUID()
    const client = platformaticClient({ clientId: 'tests', bootstrapBrokers: [...brokers], context })
    const sockets = platformaticSockets(context)
    return { client, sockets, sever: () => sockets.sever() }
  },
  ...confluentWhereItIs(),
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

/** With its addon, which the judge of Kafka's clients builds: no install here may. */
function confluentWhereItIs(): Readonly<Record<string, Connect>> {
  const folder = process.env['MALOTE_TEST_CONFLUENT'] ?? ''
  if (folder === '') return {}
  const { KafkaJS } = createRequire(import.meta.url)(folder) as typeof Confluent
  return {
    confluent: (brokers) => {
      const kafka = new KafkaJS.Kafka({ kafkaJS: { brokers: [...brokers], logLevel: KafkaJS.logLevel.NOTHING } })
      return { ...severable(confluentClient(kafka)), sockets: null }
    },
  }
}

/** librdkafka opens its connections itself: a severed member leaves the group without a commit, and nothing it says afterwards is heard. */
function severable(client: KafkaClient): Pick<ClientUnderTest, 'client' | 'sever'> {
  const leavers = new Set<() => Promise<void>>()
  const never = new Promise<never>(() => {})
  let severed = false
  return {
    client: {
      ...client,
      producer: () => {
        const producer = client.producer()
        return { ...producer, send: (record) => (severed ? never : producer.send(record)) }
      },
      consumer: (group) => {
        const consumer = client.consumer(group)
        leavers.add(() => consumer.disconnect())
        return {
          ...consumer,
          commitOffsets: (offsets) => (severed ? never : consumer.commitOffsets(offsets)),
        }
      },
    },
    sever: () => {
      severed = true
      for (const leave of leavers) void leave()
    },
  }
}
