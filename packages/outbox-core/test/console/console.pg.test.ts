import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type ConsoleOptions, createConsole } from '../../src/console/index.ts'
import { createConsumerStore, createTopics, listOperatorActions } from '../../src/index.ts'
import { aReceivedMessage } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

const origin = 'http://127.0.0.1:9465'
const who = { operator: 'ana', reason: 'the queue is back' }
let bench: RelayBench
let pool: pg.Pool

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
  pool = bench.pool
})
beforeEach(async () => {
  await bench.reset()
  await pool.query('truncate malote.operator_actions, malote.paused_topics, malote.flow restart identity')
})
afterAll(() => bench.database.drop())

function open(options: Partial<ConsoleOptions> = {}) {
  const handle = createConsole({ pool: bench.as.operator, access: 'loopback', allowActions: true, ...options })
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await handle(new Request(`${origin}${path}`, init))
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: text.startsWith('{') ? JSON.parse(text) : null,
    }
  }
  const act = (action: string, body: unknown, headers: Record<string, string> = {}) =>
    ask(`/api/actions/${action}`, {
      method: 'POST',
      headers: { origin, 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  return { ask, act, view: async () => (await ask('/api/view')).body }
}

/** A message refused for ever, and one behind it: the id of the dead letter. */
async function kill(topic = 'orders', orderingKey = 'conta-1'): Promise<string> {
  const { broker, relay, observer } = bench.relay()
  let isFirst = true
  broker.failWith(() => {
    if (!isFirst) return null
    isFirst = false
    return { kind: 'permanent', code: 'REFUSED', message: 'no such account' }
  })
  await bench.add(aMessage({ topic, orderingKey, payload: { iban: 'SECRET' } }), aMessage({ topic, orderingKey }))
  relay.start()
  await observer.waitFor('message.dead-lettered')
  await relay.stop()
  const { rows } = await pool.query('select max(dead_letter_id)::text as id from malote.dead_letters')
  return rows[0].id as string
}

describe('a look', () => {
  it('shows what is dead and held, in words, and never a body', async () => {
    const deadLetterId = await kill()

    const view = await open().view()

    expect(view).toMatchObject({
      allowActions: true,
      status: { deadLetters: 1, held: 1 },
      deadLetters: [{ deadLetterId, lastFailure: { code: 'REFUSED', message: 'no such account' } }],
      heldKeys: [{ topic: 'orders', orderingKey: 'conta-1', waiting: 1 }],
      heldStreams: [],
      pausedTopics: [],
    })
    const codes = view.findings.map(({ code }: { code: string }) => code)
    expect(codes).toEqual(expect.arrayContaining(['DEAD_LETTERS', 'HELD_KEYS']))
    expect(codes).not.toContain('OK')
    expect(JSON.stringify(view)).not.toContain('SECRET')
  })

  it('asks the database once, however many look', async () => {
    let connections = 0
    const counting = { connect: () => (connections++, pool.connect()) }
    const { ask } = open({ pool: counting })

    await Promise.all(Array.from({ length: 20 }, () => ask('/api/view')))

    expect(connections).toBe(2) // The doctor's look and this one.
  })

  it('tells of tables that are not there, and of a database that is not', async () => {
    const missing = await open({ schema: 'nowhere' }).view()
    const away = await open({ pool: { connect: () => Promise.reject(new Error('connect ECONNREFUSED')) } }).ask(
      '/api/view',
    )

    expect(missing).toMatchObject({ status: null, deadLetters: null, findings: [{ level: 'problem' }] })
    expect(away).toMatchObject({ status: 503, body: { code: 'DATABASE', detail: 'connect ECONNREFUSED' } })
  })

  it('works as a role that may only read, and says what it may not see', async () => {
    const reader = bench.database.pool()
    const { rows } = await pool.query('select current_database() as name')
    await pool.query(`create role console_${rows[0].name} login; grant usage on schema malote to console_${rows[0].name};
      grant select on malote.migrations to console_${rows[0].name}`)
    const asRole = {
      connect: async () => {
        const client = await reader.connect()
        await client.query(`set role console_${rows[0].name}`)
        return client
      },
    }

    const view = await open({ pool: asRole, allowActions: false }).view()

    await reader.end()
    await pool.query(`drop owned by console_${rows[0].name}; drop role console_${rows[0].name}`)
    expect(view).toMatchObject({ status: null, deadLetters: null, heldKeys: null })
    expect(view.findings.some(({ level }: { level: string }) => level === 'unseen')).toBe(true)
  })
})

describe('a decision', () => {
  it('replays, as the command line does, and is in the audit', async () => {
    const deadLetterId = await kill()
    const { act, view } = open()
    await view()

    const answer = await act('replay', { deadLetterIds: [deadLetterId], ...who })

    expect(answer.body).toEqual({ done: 1, wanted: 1 })
    expect(await listOperatorActions({ db: pool })).toMatchObject([{ action: 'replay', ...who }])
    expect(await view()).toMatchObject({
      deadLetters: [],
      heldKeys: [],
      actions: [{ action: 'replay', operator: 'ana' }],
    })
    expect((await act('replay', { deadLetterIds: [deadLetterId], ...who })).body).toEqual({ done: 0, wanted: 1 })
  })

  it('discards', async () => {
    const deadLetterId = await kill()

    expect((await open().act('discard', { deadLetterIds: [deadLetterId], ...who })).body).toEqual({
      done: 1,
      wanted: 1,
    })
    expect(await bench.count('dead_letters')).toBe(0)
  })

  it('releases a key and keeps its dead letter', async () => {
    await kill()

    const answer = await open().act('release-key', { topic: 'orders', orderingKey: 'conta-1', ...who })

    expect(answer.body).toEqual({ done: 1, wanted: 1 })
    expect([await bench.count('held_keys'), await bench.count('dead_letters')]).toEqual([0, 1])
  })

  it('holds a key by hand, once, and keeps who did it first', async () => {
    const { act, view } = open()
    const key = { topic: 'orders', orderingKey: ' conta-9' }

    const held = await act('hold-key', { ...key, ...who })
    const again = await act('hold-key', { ...key, operator: 'bia', reason: 'me too' })
    const nameless = await act('hold-key', { topic: 'orders', orderingKey: '', ...who })

    expect([held.body.done, again.body.done, nameless.status]).toEqual([1, 0, 400])
    expect(await view()).toMatchObject({
      heldKeys: [{ ...key, deadLetterId: null, heldBy: who.operator, reason: who.reason }],
      actions: [{ action: 'hold', ...who }],
    })
  })

  it('pauses a topic and lets it go on', async () => {
    const { act } = open()

    expect((await act('pause-topic', { topic: 'orders', ...who })).body).toEqual({ done: 1, wanted: 1 })
    expect(await createTopics({ db: pool }).listPaused()).toMatchObject([{ topic: 'orders', pausedBy: 'ana' }])
    expect((await act('resume-topic', { topic: 'orders', ...who })).body).toEqual({ done: 1, wanted: 1 })
    expect(await createTopics({ db: pool }).listPaused()).toEqual([])
  })

  it('lets a consumer go on behind its dead letter, or without it', async () => {
    const store = createConsumerStore({ db: pool, consumer: 'ledger' })
    const note = {
      reason: 'MAX_ATTEMPTS',
      attempts: 2,
      error: 'no stock',
      source: 'orders',
      topic: 'orders',
      at: '2026-11-28T00:00:00.000Z',
    } as const
    const about = { consumer: 'ledger', topic: 'orders', orderingKey: 'k' }
    const { act, view } = open()
    await store.hold(aReceivedMessage({ topic: 'orders', orderingKey: 'k' }), note)
    const held = await view()

    const wrong = await act('release-stream', { ...about, what: 'both', ...who })
    const right = await act('release-stream', { ...about, what: 'retry', ...who })

    expect(held.heldStreams).toMatchObject([{ ...about, isHeld: true, note: { error: 'no stock' } }])
    expect(wrong).toMatchObject({ status: 400, body: { code: 'INVALID_OPTION' } })
    expect(right.body).toEqual({ done: 1, wanted: 1 })
    expect((await view()).heldStreams).toMatchObject([{ ...about, isHeld: false }])
    await pool.query('truncate malote.held_streams cascade')
  })

  it.each([
    ['nobody', { reason: 'why' }],
    ['no reason', { operator: 'ana' }],
    ['blank words', { operator: ' ', reason: ' ' }],
    ['no ids', { ...who, deadLetterIds: [] }],
    ['wrong ids', { ...who, deadLetterIds: ["1'; drop"] }],
    ['an id out of range', { ...who, deadLetterIds: ['9999999999999999999'] }],
    ['no object', '[]'],
    ['no JSON', 'deadLetterIds=1'],
    ['a megabyte', JSON.stringify({ reason: 'x'.repeat(1_000_000) })],
  ])('with %s is refused with 400 and changes nothing', async (_, body) => {
    await kill()

    const answer = await open().act('discard', typeof body === 'string' ? body : { deadLetterIds: ['1'], ...body })

    expect(answer.status).toBe(400)
    expect(await bench.count('dead_letters')).toBe(1)
  })

  it('is refused to a form of another site, which cannot send JSON', async () => {
    const answer = await open().act('discard', JSON.stringify({ deadLetterIds: ['1'], ...who }), {
      'content-type': 'text/plain',
    })

    expect(answer.status).toBe(400)
  })

  it('is refused where nothing may be changed, whatever it is', async () => {
    const deadLetterId = await kill()
    const { act, view } = open({ allowActions: false })

    expect(await view()).toMatchObject({ allowActions: false })
    for (const action of [
      'replay',
      'discard',
      'hold-key',
      'release-key',
      'release-stream',
      'pause-topic',
      'resume-topic',
    ])
      expect(
        await act(action, { deadLetterIds: [deadLetterId], topic: 'orders', orderingKey: 'conta-1', ...who }),
      ).toMatchObject({
        status: 403,
        body: { code: 'READ_ONLY' },
      })
    expect(await bench.count('operator_actions')).toBe(0)
    expect((await open().act('constructor', who)).status).toBe(404)
  })

  it('needs POST, the page it comes from, and the host it is for', async () => {
    const { ask, act } = open()

    expect((await ask('/api/actions/discard')).status).toBe(403)
    expect((await ask('/api/actions/discard', { headers: { origin } })).status).toBe(405)
    expect((await act('discard', who, { origin: 'https://evil.example.com' })).status).toBe(403)
    expect((await act('discard', who, { host: 'evil.example.com', origin: 'http://evil.example.com' })).status).toBe(
      403,
    )
  })

  it('is signed by the login of the application, not by what the page says', async () => {
    const deadLetterId = await kill()
    const { act } = open({ access: { authenticate: () => 'login: bia' } })

    await act('discard', { deadLetterIds: [deadLetterId], ...who })

    expect(await listOperatorActions({ db: pool })).toMatchObject([{ operator: 'login: bia', reason: who.reason }])
  })
})
