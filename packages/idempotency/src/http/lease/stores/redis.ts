/**
 * Keys of lease mode in Redis.
 *
 * @packageDocumentation
 */
import { invalidOption } from '../../../errors.ts'
import { createDocumentLeaseStore } from './document-lease-store.ts'
import type { LeaseDocuments } from './lease-documents.ts'
import { documentName, type LeaseDocument } from './lease-document.ts'
import type { KeyName, LeaseStore } from './lease-store.ts'

export type { LeaseStore } from './lease-store.ts'

/** The part of a `redis` (node-redis) client or cluster that is used. For another client write the one method. */
export interface RedisClient {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
}

/** With which client and under which names `createRedisLeaseStore` keeps its keys. */
export interface RedisLeaseStoreOptions {
  /** Connected, and with a timeout for commands: a store that does not answer must fail, so that requests are refused. */
  readonly client: RedisClient
  /** Put before every key. @defaultValue "malote" */
  readonly prefix?: string
}

/**
 * A lease store in Redis 5 or newer, standalone or cluster. All decisions go by the server's clock (`TIME`).
 *
 * Not promised: anything Redis itself does not keep. Replication is asynchronous and, by default, so is the disk: a failover or
 * crash can forget a claim or a response that was acknowledged, and the operation may then run a second time. Set
 * `appendfsync always` and `min-replicas-to-write`, forbid eviction (`maxmemory-policy noeviction`), and keep what must
 * not happen twice in PostgreSQL.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export function createRedisLeaseStore(options: RedisLeaseStoreOptions): LeaseStore {
  if (typeof options.client?.eval !== 'function') throw invalidOption('client', 'a connected Redis client with eval()')
  return createDocumentLeaseStore(redisDocuments(options.client, options.prefix ?? 'malote'))
}

// One document is a hash of its revision and its JSON. The tenant in braces keeps a tenant's keys on one cluster slot.
const readScript = `
local time = redis.call('TIME')
return { redis.call('HGET', KEYS[1], 'document') or '', time[1] .. string.format('%06d', time[2]) }`

/** Arguments: expected revision or '', revision, document, expiry in ms or '', key hash, created at or '' when not open. */
const writeScript = `
if (redis.call('HGET', KEYS[1], 'revision') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'document', ARGV[3])
if ARGV[4] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIREAT', KEYS[1], ARGV[4]) end
if ARGV[6] == '' then redis.call('ZREM', KEYS[2], ARGV[5]) else redis.call('ZADD', KEYS[2], ARGV[6], ARGV[5]) end
return 1`

const addTenantScript = `return redis.call('SADD', KEYS[1], ARGV[1])`
const tenantsScript = `return redis.call('SMEMBERS', KEYS[1])`
const openScript = `return redis.call('ZRANGE', KEYS[1], 0, ARGV[1])`

function redisDocuments(client: RedisClient, prefix: string): LeaseDocuments {
  const tenants = `${prefix}:tenants`
  const openOf = (tenant: string): string => `${prefix}:{${tenant}}:open`
  const keyOf = (tenant: string, keyHash: string): string => `${prefix}:{${tenant}}:${keyHash}`
  /** Tenants this process knows to be listed: the list is on a slot of its own and cannot be part of a write. */
  const listed = new Set<string>()

  async function list(tenant: string): Promise<void> {
    if (listed.has(tenant)) return
    await client.eval(addTenantScript, { keys: [tenants], arguments: [tenant] })
    listed.add(tenant)
  }

  async function read(key: KeyName): ReturnType<LeaseDocuments['read']> {
    const { tenant, keyHash } = documentName(key)
    const [json, micros] = (await client.eval(readScript, {
      keys: [keyOf(tenant, keyHash)],
      arguments: [],
    })) as string[]
    const nowMs = Math.floor(Number(micros) / 1000)
    const document = json === '' ? null : (JSON.parse(json as string) as LeaseDocument)
    return { document, clock: { earliestMs: nowMs, latestMs: nowMs } }
  }

  return {
    name: 'redis',
    read,
    write: async (key, document, revision) => {
      const { tenant, keyHash } = documentName(key)
      const isOpen = document.state === 'in_progress' || document.state === 'indeterminate'
      if (isOpen) await list(tenant)
      const done = await client.eval(writeScript, {
        keys: [keyOf(tenant, keyHash), openOf(tenant)],
        arguments: [
          revision === null ? '' : String(revision),
          String(document.revision),
          JSON.stringify(document),
          document.expiresAtMs === null ? '' : String(Math.ceil(document.expiresAtMs)),
          keyHash,
          isOpen ? String(document.createdAtMs) : '',
        ],
      })
      return Number(done) === 1
    },
    listOpen: (limit) => listOpen(client, tenants, openOf, read, limit),
  }
}

/** Tenant by tenant: each has its own slot of a cluster. */
async function listOpen(
  client: RedisClient,
  tenants: string,
  openOf: (tenant: string) => string,
  read: LeaseDocuments['read'],
  limit: number,
): ReturnType<LeaseDocuments['listOpen']> {
  const documents: LeaseDocument[] = []
  let clock = { earliestMs: 0, latestMs: 0 }
  for (const tenant of (await client.eval(tenantsScript, { keys: [tenants], arguments: [] })) as string[]) {
    const range = { keys: [openOf(tenant)], arguments: [String(limit - 1)] }
    for (const keyHash of (await client.eval(openScript, range)) as string[]) {
      const key = { tenant: Buffer.from(tenant, 'base64url').toString(), keyHash: Buffer.from(keyHash, 'hex') }
      const { document, clock: now } = await read(key)
      clock = now
      if (document !== null) documents.push(document)
    }
  }
  return { documents: documents.sort((a, b) => a.createdAtMs - b.createdAtMs).slice(0, limit), clock }
}
