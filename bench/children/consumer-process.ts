// Run by consumer.ts: one consumer of SQS, with the libraries it needs and no others.
import { SQSClient } from '@aws-sdk/client-sqs'
import pg from 'pg'
import type { Consume } from '../peers/sqs.ts'
import type { ConsumerCommand, ConsumerSetup } from './consumer.ts'

const { who, endpoint, queueUrl, url } = JSON.parse(process.argv[2] ?? '{}') as ConsumerSetup
const pool = new pg.Pool({ connectionString: url, max: 10 })
const one = 'insert into bench_effects (message) values ($1)'

const consumers: Readonly<Record<ConsumerSetup['who'], () => Promise<Consume>>> = {
  malote: async () => {
    const [{ byMalote }, { createInbox }] = await Promise.all([
      import('../peers/sqs-malote.ts'),
      import('@malote/idempotency'),
    ])
    const inbox = createInbox()
    return byMalote(async ({ message }) => {
      const known = { consumer: 'bench', messageId: message.id, occurredAt: message.createdAt }
      await inbox.transact(pool, known, async (tx) => void (await tx.query(one, [message.id])))
    })
  },
  'sqs-consumer': async () => {
    const { bySqsConsumer } = await import('../peers/sqs-consumer.ts')
    return bySqsConsumer((id) => pool.query(one, [id]))
  },
}

process.once('disconnect', () => process.exit())
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
const client = new SQSClient({ endpoint, region: 'us-east-1', credentials })
const consume = await consumers[who]()
const stop = await consume({ client, endpoint }, queueUrl)
process.on('message', (command: ConsumerCommand) => {
  if (command === 'report') process.send?.(process.memoryUsage.rss())
  if (command === 'stop') void stop().finally(() => process.exit(0))
})
process.send?.('ready')
