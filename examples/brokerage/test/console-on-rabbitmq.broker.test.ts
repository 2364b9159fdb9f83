import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRabbitmqPublisher } from '@malote/adapter-rabbitmq'
import {
  createOutbox,
  createRelay,
  listOperatorActions,
  migrate,
  type NewMessage,
  type Relay,
} from '@malote/outbox-core'
import { createConsole, nodeListener } from '@malote/outbox-core/console'
import { decide } from '@malote/testing/console-page'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { canInstallDebianPackages, installDebianPackage } from '@malote/testing/services/debian-package'
import { startTcpProxy, type TcpProxy } from '@malote/testing/tcp-proxy'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import type pg from 'pg'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'

const executablePath = process.env['MALOTE_TEST_CHROMIUM'] ?? '/usr/bin/chromium'
/** Where pictures go, for whoever wants to look. */
const pictures = process.env['MALOTE_TEST_PICTURES']
const exchange = `console-${randomBytes(6).toString('hex')}`
/** Ids of the messages that came out of RabbitMQ, in order. */
const arrived: string[] = []
let database: TestDatabase
let pool: pg.Pool
let proxy: TcpProxy
let connection: ChannelModel
let channel: Channel
let queue: string
let relay: Relay
let server: Server
let browser: Browser
let page: Page

beforeAll(async () => {
  if (!existsSync(executablePath) && canInstallDebianPackages()) installDebianPackage('chromium')
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  proxy = await startTcpProxy(Number(new URL(inject('rabbitmqUrl')).port))
  connection = await connect(inject('rabbitmqUrl'))
  channel = await connection.createChannel()
  await channel.assertExchange(exchange, 'topic', { autoDelete: true })
  queue = (await channel.assertQueue('', { exclusive: true })).queue
  for (const topic of ['orders', 'payments']) await channel.bindQueue(queue, exchange, topic)
  await channel.consume(queue, (message) => arrived.push(String(message?.properties.messageId)), { noAck: true })
  relay = startRelay(1_024)
  const listen = nodeListener(createConsole({ pool, access: 'loopback', allowActions: true }))
  server = createServer(listen).listen(0, '127.0.0.1')
  await once(server, 'listening')
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  await page.goto(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`)
})
afterAll(async () => {
  await browser?.close()
  server?.close()
  await relay?.stop({ graceMs: 100 })
  await connection?.close()
  await proxy?.close()
  await database?.drop()
})

function startRelay(maxMessageBytes: number): Relay {
  const url = Object.assign(new URL(inject('rabbitmqUrl')), { port: String(proxy.port) }).toString()
  const publisher = createRabbitmqPublisher({
    connect: () => connect(url),
    source: '/console',
    exchange,
    maxMessageBytes,
  })
  const started = createRelay({ pool, publisher, onEvent: () => {}, outageBackoff: () => 20 })
  started.start()
  return started
}

async function add(...messages: Partial<NewMessage>[]): Promise<readonly string[]> {
  const client = await pool.connect()
  await client.query('begin')
  const ids = await createOutbox().addAll(
    client,
    messages.map((message) => ({ topic: 'orders', type: 'order.accepted', payload: 'small', ...message })),
  )
  await client.query('commit')
  client.release()
  return ids
}

const see = (selector: string, text: string) => page.locator(selector).filter({ hasText: text }).first().waitFor()
async function picture(name: string): Promise<void> {
  if (pictures !== undefined) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true })
}

/** Of these messages, what RabbitMQ delivered, in order. */
const expectArrived = (of: readonly string[], ids: readonly string[]) =>
  expect.poll(() => arrived.filter((id) => of.includes(id))).toEqual(ids)

describe('the console, before a real RabbitMQ', () => {
  it('shows that the broker is away, and that it is back', async () => {
    const before = await add({})
    await expectArrived(before, before)
    proxy.refuse()
    const ids = await add({})

    await see('h1', 'The broker is away')
    await see('.finding.problem', 'BROKER_UNAVAILABLE')
    await see('.finding.problem .mend', 'bring the broker back')
    await see('#breakers', 'The broker as a whole')
    await picture('broker-away')
    expect(arrived).not.toContain(ids[0])
    proxy.accept()

    await see('h1', 'All is well')
    await expectArrived(ids, ids)
  })

  it('shows a topic that no queue takes any more, while the rest goes on, and its end', async () => {
    await channel.unbindQueue(queue, exchange, 'payments')
    const [lost, other] = await add({ topic: 'payments' }, {})

    await see('.finding.problem', 'DESTINATION_UNAVAILABLE')
    await see('#breakers', `exchange "${exchange}" with routing key "payments"`)
    await see('#breakers', 'no queue is bound')
    await picture('destination-away')
    await expectArrived([String(lost), String(other)], [String(other)])
    await channel.bindQueue(queue, exchange, 'payments')

    await see('h1', 'All is well')
    await expectArrived([String(lost), String(other)], [String(other), String(lost)])
  })

  it('replays a dead letter, which then arrives, and what its key was held for after it', async () => {
    const key = { orderingKey: 'account-17' }
    const ids = await add({ ...key, payload: 'x'.repeat(2_000) }, key)
    await see('#dead-letters', 'account-17')
    await see('#held-keys', 'account-17')
    expect(arrived.filter((id) => ids.includes(id))).toEqual([])
    await relay.stop()
    relay = startRelay(16_384) // The mend: the broker takes larger messages, and the relay is told.

    await decide(page, '#dead-letters [data-action=replay]', 'larger messages go now')

    await expectArrived(ids, ids)
    await see('#audit', 'larger messages go now')
    await see('h1', 'All is well')
    expect(await listOperatorActions({ db: pool })).toMatchObject([
      { action: 'replay', operator: 'ana', reason: 'larger messages go now' },
    ])
  })

  it('holds a key, whose messages stay here until it is released', async () => {
    await decide(page, 'tr[data-row=orders] [data-action=hold-key]', 'under review', { orderingKey: 'account-18' })
    await see('#held-keys', 'ana: under review')
    // The relay hears of it by a notification: what is added before that may still leave.
    let [held, other] = await passing()
    while (arrived.includes(held)) [held, other] = await passing()
    await expectArrived([held, other], [other])

    await decide(page, '#held-keys [data-action=release-key]', 'reviewed')

    await expectArrived([held, other], [other, held])
    await see('h1', 'All is well')

    /** One message of the held key, and one beside it that has arrived, with another after it. */
    async function passing(): Promise<readonly [held: string, other: string]> {
      const ids = await add({ orderingKey: 'account-18' }, { orderingKey: 'account-19' })
      await expectArrived([String(ids[1])], [String(ids[1])])
      const later = await add({ orderingKey: 'account-19' })
      await expectArrived(later, later)
      return [String(ids[0]), String(ids[1])]
    }
  })
})
