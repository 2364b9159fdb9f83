import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { runConformanceCase } from '@malote/outbox-core/testing'
import { randomUUID } from 'node:crypto'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDynamodbLeaseStore, dynamodbLeaseTable } from '../src/http/lease/stores/dynamodb.ts'
import { createRedisLeaseStore } from '../src/http/lease/stores/redis.ts'
import { leaseStoreConformance, type LeaseStoreHarness } from '../src/testing/index.ts'

const redisUrl = inject('redisUrl')
const dynamodbEndpoint = inject('dynamodbEndpoint')
const elapse = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe.skipIf(redisUrl === '')('the Redis store of leases', () => {
  const client = createClient({ url: redisUrl })
  const prefix = randomUUID()
  const harness: LeaseStoreHarness = {
    createStore: () => Promise.resolve(createRedisLeaseStore({ client, prefix })),
    elapse,
  }
  beforeAll(() => client.connect())
  afterAll(() => client.close())

  it.concurrent.each(leaseStoreConformance)('$name', async (one) => {
    expect(await runConformanceCase(one, harness)).toMatchObject({ status: 'passed' })
  })

  it('rejects while Redis is away, so that requests are refused', async () => {
    const away = createClient({
      url: 'redis://127.0.0.1:1',
      socket: { reconnectStrategy: false },
      disableOfflineQueue: true,
    })
    away.on('error', () => {}) // Expected: nobody listens there.
    const store = createRedisLeaseStore({ client: away })

    await expect(store.renew({ tenant: 't', keyHash: Buffer.alloc(32), fence: 1 }, 1_000)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
  })
})

describe.skipIf(dynamodbEndpoint === '')('the DynamoDB store of leases', () => {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const client = new DynamoDBClient({ endpoint: dynamodbEndpoint, region: 'us-east-1', credentials })
  const tableName = `keys-${randomUUID()}`
  let slowestMs = 0
  const send = async (command: never): Promise<unknown> => {
    const startMs = performance.now()
    return client.send(command).finally(() => (slowestMs = Math.max(slowestMs, performance.now() - startMs)))
  }
  // The store's clock is known to a second and the time an answer takes, so leases shorter than that mean nothing.
  const harness: LeaseStoreHarness = {
    createStore: () => Promise.resolve(createDynamodbLeaseStore({ client: { send } as typeof client, tableName })),
    elapse: (ms) => elapse(ms + 2 * slowestMs),
    shortLeaseMs: 2_000,
  }
  beforeAll(() => client.send(new CreateTableCommand(dynamodbLeaseTable(tableName))))
  afterAll(() => client.destroy())

  it.concurrent.each(leaseStoreConformance)('$name', async (one) => {
    expect(await runConformanceCase(one, harness)).toMatchObject({ status: 'passed' })
  })
})
