import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { membershipTexts } from '../../../packages/outbox-core/src/postgres/membership.ts'
import { messageReadTexts } from '../../../packages/outbox-core/src/postgres/message-reads.ts'
import { moveScheduledText } from '../../../packages/outbox-core/src/postgres/scheduled.ts'
import { settleTexts } from '../../../packages/outbox-core/src/postgres/settles.ts'
import { createFailpoints, poolWithFailpoints, statementOf } from '../failpoints.ts'
import type { RelayClient } from '../library.ts'
import { poolVariant } from '../roles/variants.ts'

const reads = messageReadTexts('malote')
const settles = settleTexts('malote', false)
const membership = membershipTexts('malote')

describe('a failpoint', () => {
  it.each([
    [reads.ready, 'read'],
    [settles.deletePublished, 'settle'],
    [settles.scheduleRetries, 'retry'],
    [settles.buryDead, 'bury'],
    [membership.acquire, 'acquire'],
    [membership.renew, 'other'],
    [membership.reap, 'other'],
    [reads.waiting, 'other'],
    [moveScheduledText('malote', false), 'other'],
  ])('knows a statement of the relay by its text', (text, statement) => {
    expect(statementOf(text)).toBe(statement)
  })

  it('acts once, at its own point', async () => {
    const failpoints = createFailpoints()
    const passed: string[] = []
    failpoints.arm('settled', () => void passed.push('settled'))
    const client = { query: () => Promise.resolve({ rows: [] }) } as unknown as RelayClient
    const pool = poolWithFailpoints({ connect: () => Promise.resolve(client) }, failpoints)

    const connected = await pool.connect()
    await connected.query(reads.ready)
    expect(passed).toEqual([])
    await connected.query(settles.deletePublished)
    await connected.query(settles.deletePublished)

    expect(passed).toEqual(['settled'])
  })

  it('lets the relay listen to the pool, whose connections would end the process otherwise', () => {
    const pool = Object.assign(new EventEmitter(), { connect: () => Promise.reject(new Error('not needed')) })

    poolVariant(poolWithFailpoints(pool, createFailpoints()), 'retry-without-fence').on?.('connect', () => {})

    expect(pool.listenerCount('connect')).toBe(1)
  })

  it('tells which messages a settling statement deleted', async () => {
    const settled: string[] = []
    const client = { query: () => Promise.resolve({ rows: [] }) } as unknown as RelayClient
    const hooks = { onSettled: (ids: readonly string[]) => void settled.push(...ids) }
    const pool = poolWithFailpoints({ connect: () => Promise.resolve(client) }, createFailpoints(), hooks)
    const ids = ['01a1f912-a079-77a1-81d4-98943d2cb120', '01a1f912-d427-751f-82b0-fc86d641a97d']

    const connected = await pool.connect()
    await connected.query(settles.deletePublished, ['{1,2}', '{10,11}', `{${ids.join(',')}}`])

    expect(settled).toEqual(ids)
  })
})
