import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamodbLeaseTable } from '@malote/idempotency/dynamodb'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { demoSecret } from '../src/demo/accounts.ts'
import { connectNotifier, type Notifier } from '../src/listeners/notifier.ts'
import { deliverNotice, notifyCustomer } from '../src/listeners/notify-customer.ts'
import { recordEvent } from '../src/listeners/record-event.ts'
import { tellListeners } from '../src/listeners/tell-listeners.ts'
import { createInbox } from '@malote/idempotency'
import { createApplyOnce } from '../src/messaging/apply-once.ts'
import { createWorkbench, delivery, fillingExchange, type Workbench } from './workbench.ts'

const dynamodb = {
  endpoint: inject('dynamodbEndpoint'),
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
}
const table = `notifications-${randomUUID()}`
const stores = [
  { name: 'postgres', env: {}, isHere: true },
  { name: 'redis', env: { REDIS_URL: inject('redisUrl') }, isHere: inject('redisUrl') !== '' },
  {
    name: 'dynamodb',
    env: { DYNAMODB_ENDPOINT: dynamodb.endpoint, DYNAMODB_TABLE: table },
    isHere: dynamodb.endpoint !== '',
  },
]

let bench: Workbench
let server: Server
let url = ''
/** The service: what it was told, by the key it was told under, and how it answers. */
const told: { readonly key: string; readonly text: string }[] = []
let answer = (response: ServerResponse): unknown => response.end()

beforeAll(async () => {
  // The client takes these from its environment, as in a deployment.
  process.env['AWS_REGION'] = dynamodb.region
  process.env['AWS_ACCESS_KEY_ID'] = dynamodb.credentials.accessKeyId
  process.env['AWS_SECRET_ACCESS_KEY'] = dynamodb.credentials.secretAccessKey
  bench = await createWorkbench(inject('postgresUrl'))
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      told.push({
        key: String(request.headers['idempotency-key']),
        text: JSON.parse(String(Buffer.concat(chunks))).text,
      })
      answer(response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  if (dynamodb.endpoint === '') return
  const client = new DynamoDBClient(dynamodb)
  await client.send(new CreateTableCommand(dynamodbLeaseTable(table)))
  client.destroy()
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await bench.dispose()
})

const { signal } = new AbortController()
const aNotification = { accountId: 'ACC-1', orderId: randomUUID(), text: 'Your purchase was filled.' }

describe.each(stores)('the notifier, its keys in $name,', ({ name, env, isHere }) => {
  let notifier: Notifier
  beforeAll(async () => {
    if (!isHere) return
    const settings = { NOTIFIER_URL: url, NOTIFICATION_LEASES: name, IDEMPOTENCY_PEPPER: demoSecret, ...env }
    notifier = (await connectNotifier(bench.pool, settings)) as Notifier
  })
  afterAll(() => notifier?.close())
  const sent = async (work: () => Promise<unknown>) => {
    const before = told.length
    await work()
    return told.slice(before)
  }

  it.skipIf(!isHere)('is called once for a message, however often it comes', async () => {
    const order = await bench.place(bench.nextAccount())
    await bench.pursue(order, fillingExchange)
    await bench.close(order)
    const results = await bench.messageOf(order, 'order-results')
    const tell = tellListeners(createApplyOnce(bench.pool, createInbox(), `listeners-${name}`), [
      notifyCustomer(true),
      recordEvent,
    ])
    const deliver = deliverNotice(createApplyOnce(bench.pool, createInbox(), `notification-${name}`), notifier)
    const kept = async (table: string) =>
      (await bench.pool.query(`select from ${table} where order_id = $1`, [order.orderId])).rowCount

    // Those who share the transaction are done before anybody is called.
    const asking = await sent(async () => {
      for (let times = 0; times < 3; times++) await tell(delivery(results))
    })
    expect([asking.length, await kept('audit_entries'), await kept('notifications')]).toEqual([0, 1, 0])
    const calls = await sent(async () => {
      const notice = await bench.messageOf(order, 'order-notices')
      for (let times = 0; times < 3; times++) await deliver(delivery(notice))
    })

    expect(calls.map(({ text }) => text)).toEqual(['Your purchase of R$ 1,000.00 in PETR4 was filled.'])
    expect(await kept('notifications')).toBe(1)
  })

  it.skipIf(!isHere)('that gets a failure for an answer is called again, under the same key', async () => {
    const messageId = randomUUID()
    answer = (response) => response.writeHead(500).end()
    const failed = await sent(() => expect(notifier.send(messageId, aNotification, signal)).rejects.toThrow(/503/))
    answer = (response) => response.end()
    const again = await sent(async () => {
      await notifier.send(messageId, aNotification, signal)
      await notifier.send(messageId, aNotification, signal)
    })

    expect([failed.length, again.length]).toEqual([1, 1])
    expect(again[0]?.key).toBe(failed[0]?.key)
  })

  it.skipIf(!isHere)('is not called by two at a time', async () => {
    const messageId = randomUUID()
    const held = Promise.withResolvers<ServerResponse>()
    answer = (response) => held.resolve(response)

    const calls = await sent(async () => {
      const first = notifier.send(messageId, aNotification, signal)
      const response = await held.promise
      await expect(notifier.send(messageId, aNotification, signal)).rejects.toThrow(/409/)
      response.end()
      await first
    })
    answer = (response) => response.end()

    expect(calls).toHaveLength(1)
  })
})

describe('the environment', () => {
  it.each([
    [{ NOTIFICATION_LEASES: 'mysql' }, 'NOTIFICATION_LEASES is "mysql": it must be postgres, redis or dynamodb'],
    [{ NOTIFICATION_LEASES: 'redis' }, 'REDIS_URL is not set'],
    [{ NOTIFICATION_LEASES: 'dynamodb' }, 'DYNAMODB_TABLE is not set'],
    [{ IDEMPOTENCY_PEPPER: '' }, 'IDEMPOTENCY_PEPPER is not set'],
  ])('with %o says what is wrong', async (env, message) => {
    const given = { NOTIFIER_URL: url, IDEMPOTENCY_PEPPER: demoSecret, ...env }
    await expect(connectNotifier(bench.pool, given)).rejects.toThrow(message)
  })

  it('without an address has no notifier', async () => {
    expect(await connectNotifier(bench.pool, {})).toBeNull()
  })
})
