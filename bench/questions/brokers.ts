import type { OutboxMessage, Publisher } from '@malote/outbox-core'
import { createKafkaRig } from '../brokers/kafka.ts'
import { createRabbitmqRig } from '../brokers/rabbitmq.ts'
import { createSqsRig } from '../brokers/sqs.ts'
import type { BrokerRig } from '../brokers/broker-rig.ts'
import { alternate } from '../harness/alternate.ts'
import type { BenchContext, Benchmark, Figure, Row } from '../harness/benchmark.ts'
import { atLeast, figuresOf, outrun, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drain } from '../peers/drainer.ts'
import { createMaloteDrainer } from '../peers/malote.ts'

const brokers = [
  { create: createRabbitmqRig, client: 'amqplib', count: 60_000, bound: 0.9 },
  { create: createKafkaRig, client: 'kafkajs', count: 100_000, bound: 0.85 },
  { create: createSqsRig, client: 'the AWS SDK', count: 12_000, bound: 0.85 },
] as const

export const brokersQuestion: Benchmark = {
  name: 'brokers',
  question: 'How much of what the client library can publish alone is left when the relay feeds it from PostgreSQL?',
  run: async (context) => {
    const figures: Record<string, Figure> = {}
    const rows: Row[] = []
    const notes = [
      'The client alone sends the same bytes with the same acknowledgements, in this process, to the same broker.',
    ]
    for (const { create, client, count, bound } of brokers) {
      const rig = await create()
      try {
        const samples = await sideBySide(context, rig, Math.round(count * context.scale))
        Object.assign(figures, figuresOf(samples, 'messages/s'))
        const ratio = ratioOf(samples[`relay → ${rig.name}`], samples[`${rig.name} client alone`])
        rows.push(ratioRow(rig.name, `relay → ${rig.name} ÷ its client alone`, ratio, atLeast(bound), outrun(client)))
        notes.push(`${rig.configuration}.`)
      } finally {
        await rig.close()
      }
    }
    return { figures, rows, runs: context.rounds, notes }
  },
}

async function sideBySide(
  { server, rounds, log }: BenchContext,
  rig: BrokerRig,
  count: number,
): Promise<Record<string, readonly number[]>> {
  const database = await server.database()
  const publisher = rig.publisher()
  const drainer = await createMaloteDrainer(database, { publisher: (onMessages) => counting(publisher, onMessages) })
  const alone = async (): Promise<number> => {
    await rig.reset()
    const start = performance.now()
    await rig.publishAlone(count)
    return (count * 1000) / (performance.now() - start)
  }
  await alone() // Connections, code and the broker itself are warm for both.
  const relay = async (): Promise<number> => {
    await rig.reset()
    return drain(drainer, { count })
  }
  const samples = await alternate(rounds, { [`relay → ${rig.name}`]: relay, [`${rig.name} client alone`]: alone }, log)
  await publisher.close()
  await database.drop()
  return samples
}

/** The adapter's publisher; messages count when it is given them. */
function counting(publisher: Publisher, onMessages: (batch: readonly OutboxMessage[]) => void): Publisher {
  return {
    name: publisher.name,
    publish: (batch, signal) => {
      onMessages(batch)
      return publisher.publish(batch, signal)
    },
    close: () => publisher.close(),
  }
}
