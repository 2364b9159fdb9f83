import { describe, expect, it } from 'vitest'
import { membershipStatements } from '../../../packages/outbox-core/src/postgres/membership-statements.ts'
import { relayStatements } from '../../../packages/outbox-core/src/postgres/relay-statements.ts'
import { createFailpoints, poolWithFailpoints, statementOf } from '../failpoints.ts'
import type { RelayClient } from '../library.ts'

const relay = relayStatements('malote', false)
const membership = membershipStatements('malote')

describe('a failpoint', () => {
  it.each([
    [relay.read, 'read'],
    [relay.deletePublished, 'settle'],
    [relay.scheduleRetries, 'retry'],
    [relay.buryDead, 'bury'],
    [membership.acquire, 'acquire'],
    [membership.renew, 'other'],
    [membership.reap, 'other'],
    [relay.readWaiting, 'other'],
    [relay.moveScheduled, 'other'],
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
    await connected.query(relay.read)
    expect(passed).toEqual([])
    await connected.query(relay.deletePublished)
    await connected.query(relay.deletePublished)

    expect(passed).toEqual(['settled'])
  })

  it('tells which messages a settling statement deleted', async () => {
    const settled: string[] = []
    const client = { query: () => Promise.resolve({ rows: [] }) } as unknown as RelayClient
    const hooks = { onSettled: (ids: readonly string[]) => void settled.push(...ids) }
    const pool = poolWithFailpoints({ connect: () => Promise.resolve(client) }, createFailpoints(), hooks)
    const ids = ['01a1f912-a079-77a1-81d4-98943d2cb120', '01a1f912-d427-751f-82b0-fc86d641a97d']

    const connected = await pool.connect()
    await connected.query(relay.deletePublished, ['{1,2}', '{10,11}', `{${ids.join(',')}}`])

    expect(settled).toEqual(ids)
  })
})
