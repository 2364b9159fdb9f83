/**
 * Keys of lease mode in DynamoDB.
 *
 * @packageDocumentation
 */
import {
  ConditionalCheckFailedException,
  type CreateTableCommandInput,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
} from '@aws-sdk/client-dynamodb'
import { invalidOption } from '../../../errors.ts'
import { createDocumentLeaseStore } from './document-lease-store.ts'
import type { LeaseDocuments } from './lease-documents.ts'
import { documentName, type LeaseDocument } from './lease-document.ts'
import type { KeyName, LeaseStore } from './lease-store.ts'
import { createServerClock, type ServerClock } from './server-clock.ts'
import { monotonicMs } from '../../../clock.ts'

export type { LeaseStore } from './lease-store.ts'

/** With which client and in which table `createDynamodbLeaseStore` keeps its keys. */
export interface DynamodbLeaseStoreOptions {
  /** Ready to use: credentials, region, retries and timeouts are yours. Never closed by the store. */
  readonly client: Pick<DynamoDBClient, 'send'>
  /** A table as `dynamodbLeaseTable` describes it, with time to live switched on for the attribute `expires`. */
  readonly tableName: string
}

const openIndex = 'open-keys'

/** What to create the table with. Add your own tags, encryption and capacity. Time to live is a setting of its own: `expires`. */
export function dynamodbLeaseTable(tableName: string): CreateTableCommandInput {
  return {
    TableName: tableName,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [
      { AttributeName: 'key', AttributeType: 'S' },
      { AttributeName: 'open', AttributeType: 'S' },
      { AttributeName: 'created', AttributeType: 'N' },
    ],
    KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
    GlobalSecondaryIndexes: [
      {
        IndexName: openIndex,
        KeySchema: [
          { AttributeName: 'open', KeyType: 'HASH' },
          { AttributeName: 'created', KeyType: 'RANGE' },
        ],
        Projection: { ProjectionType: 'ALL' },
      },
    ],
  }
}

/**
 * A lease store in DynamoDB: strongly consistent reads, conditional writes.
 *
 * DynamoDB has no clock that a condition could ask, so the store knows its time only from the `Date` of its answers, as an
 * interval of at most a second that narrows with use. Leases are therefore judged up to a second late, never early; use
 * leases of ten seconds or more. A caller's clock never enters.
 *
 * Not promised: effects in the same commit (only PostgreSQL does that); global tables (their writes do not see each
 * other's conditions); that the list of unresolved keys is up to the second (it is read from an index that lags); documents over
 * 400 KB, which is a stored body of about 280 KB.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export function createDynamodbLeaseStore(options: DynamodbLeaseStoreOptions): LeaseStore {
  if (typeof options.client?.send !== 'function') throw invalidOption('client', 'a DynamoDBClient')
  if (typeof options.tableName !== 'string' || options.tableName === '')
    throw invalidOption('tableName', 'a table name')
  return createDocumentLeaseStore(dynamodbDocuments(options))
}

function dynamodbDocuments({ client, tableName: TableName }: DynamodbLeaseStoreOptions): LeaseDocuments {
  const clock = createServerClock()
  return {
    name: 'dynamodb',
    read: async (key) => {
      const command = new GetItemCommand({ TableName, Key: { key: { S: itemKey(key) } }, ConsistentRead: true })
      watchDate(command, clock)
      const { Item } = await client.send(command)
      return { document: parse(Item?.['document']?.S), clock: clock.read() }
    },
    write: async (key, document, revision) => {
      const isOpen = document.state === 'in_progress' || document.state === 'indeterminate'
      const command = new PutItemCommand({
        TableName,
        Item: {
          key: { S: itemKey(key) },
          revision: { N: String(document.revision) },
          document: { S: JSON.stringify(document) },
          ...(isOpen ? { open: { S: 'open' }, created: { N: String(document.createdAtMs) } } : {}),
          ...(document.expiresAtMs === null ? {} : { expires: { N: String(Math.ceil(document.expiresAtMs / 1000)) } }),
        },
        ExpressionAttributeNames: { '#guard': revision === null ? 'key' : 'revision' },
        ConditionExpression: revision === null ? 'attribute_not_exists(#guard)' : '#guard = :revision',
        ...(revision === null ? {} : { ExpressionAttributeValues: { ':revision': { N: String(revision) } } }),
      })
      return replaced(client.send(command))
    },
    listOpen: async (Limit) => {
      const command = new QueryCommand({
        TableName,
        IndexName: openIndex,
        Limit,
        ExpressionAttributeNames: { '#open': 'open' },
        ExpressionAttributeValues: { ':open': { S: 'open' } },
        KeyConditionExpression: '#open = :open',
      })
      watchDate(command, clock)
      const { Items = [] } = await client.send(command)
      const documents = Items.map((item) => parse(item['document']?.S)).filter((document) => document !== null)
      return { documents, clock: clock.read() }
    },
  }
}

function itemKey(key: KeyName): string {
  const { tenant, keyHash } = documentName(key)
  return `${tenant}#${keyHash}`
}

function parse(json: string | undefined): LeaseDocument | null {
  return json === undefined ? null : (JSON.parse(json) as LeaseDocument)
}

async function replaced(writing: Promise<unknown>): Promise<boolean> {
  try {
    await writing
    return true
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return false
    throw error
  }
}

/** Notes the server's date beside every answer. */
function watchDate(command: GetItemCommand | QueryCommand, clock: ServerClock): void {
  const stack = command.middlewareStack as unknown as DeserializeStack
  stack.add(
    (next) => async (request) => {
      const askedAtMs = monotonicMs()
      const answer = await next(request)
      const dateMs = Date.parse(answer.response.headers?.['date'] ?? '')
      if (!Number.isNaN(dateMs)) clock.observe(askedAtMs, monotonicMs(), dateMs)
      return answer
    },
    { step: 'deserialize', priority: 'low', name: 'maloteServerDate' },
  )
}

/** The part of the SDK's middleware stack that is used. */
interface DeserializeStack {
  add(middleware: (next: Next) => Next, options: { step: 'deserialize'; priority: 'low'; name: string }): void
}
type Next = (
  request: unknown,
) => Promise<{ readonly response: { readonly headers?: Readonly<Record<string, string>> } }>
