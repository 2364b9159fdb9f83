import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { createOutbox, createRelay, migrate, outboxStatus, prometheusText, type Relay } from '@malote/outbox-core'
import { createMemoryBroker, eventually, type MemoryBroker } from '@malote/outbox-core/testing'
import { comesOut, providePromtool, steadySeries } from './promtool.ts'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'

const rules = fileURLToPath(new URL('malote-rules.yml', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'malote-rules-'))
const canCheck = providePromtool()
let database: TestDatabase
let broker: MemoryBroker
let relay: Relay

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrate(database.pool())
})
afterEach(async () => {
  await relay.stop({ graceMs: 100 })
  await database.truncate('malote.messages, malote.dead_letters, malote.held_keys, malote.relays cascade')
  await database.pool().query('insert into malote.lanes (lane) select generate_series(0, 63) on conflict do nothing')
})
afterAll(async () => {
  await database.drop()
  rmSync(folder, { recursive: true })
})

function startRelay(): void {
  broker = createMemoryBroker()
  relay = createRelay({ pool: database.pool(), publisher: broker, outageBackoff: () => 20 })
  relay.start()
}

async function add(topic = 'orders'): Promise<void> {
  const client = await database.pool().connect()
  await client.query('begin')
  await createOutbox().addAll(client, [{ topic, type: 't', orderingKey: 'k', payload: {} }])
  await client.query('commit')
  client.release()
}

/** The alerts that fire when the outbox goes on as it is for five minutes: of series taken from the real thing. */
async function firing(text: string): Promise<readonly string[]> {
  const alerts = [...readFileSync(rules, 'utf8').matchAll(/alert: (\w+)/g)].map(([, name]) => name)
  const isFiring = (alert: string): boolean => {
    const test = {
      rule_files: [rules],
      evaluation_interval: '30s',
      tests: [
        {
          interval: '30s',
          input_series: steadySeries(text),
          alert_rule_test: [{ eval_time: '5m', alertname: alert, exp_alerts: [] }],
        },
      ],
    }
    const file = join(folder, 'test.yml')
    writeFileSync(file, JSON.stringify(test))
    return comesOut(file)
  }
  return alerts.filter(isFiring)
}

const metrics = async (): Promise<string> => prometheusText(await outboxStatus(database.pool()))

describe.skipIf(!canCheck)('the alert rules', () => {
  it('are rules, each with a page that the doctor knows, and the metrics are as Prometheus wants them', async () => {
    startRelay()
    execFileSync('promtool', ['check', 'rules', rules])
    const codes = readFileSync(new URL('../doctor.md', import.meta.url), 'utf8')
    for (const [, code] of readFileSync(rules, 'utf8').matchAll(/code: (\w+)/g)) expect(codes).toContain(`\`${code}\``)
    await add()
    await broker.received(1)
    execFileSync('promtool', ['check', 'metrics'], { input: await metrics() })
  })

  it('are silent when all is well', async () => {
    startRelay()
    await add()
    await broker.received(1)
    await eventually(async () =>
      expect(await outboxStatus(database.pool())).toMatchObject({ ready: 0, lanesWithoutRelay: 0 }),
    )

    expect(await firing(await metrics())).toEqual([])
  })

  it('fire while the broker is away', async () => {
    startRelay()
    broker.goDown()
    await add()
    await database.pool().query(`update malote.messages set created_at = now() - interval '1 hour'`)
    await eventually(async () => expect((await outboxStatus(database.pool())).outages).toHaveLength(1))

    expect(await firing(await metrics())).toEqual(['MaloteOverdue', 'MaloteBreakerOpen'])
  })

  it('fire for a dead letter and the key it holds', async () => {
    startRelay()
    broker.failWith(() => ({ kind: 'permanent', code: 'NO', message: 'never' }))
    await add()
    await eventually(async () => expect((await outboxStatus(database.pool())).heldKeys).toBe(1))

    expect(await firing(await metrics())).toEqual(['MaloteDeadLetters', 'MaloteHeldKeys'])
  })

  it('fire when no relay lives, and when nobody can look', async () => {
    startRelay()
    await relay.stop()

    expect(await firing(await metrics())).toEqual(['MaloteNoRelay'])
    expect(await firing(prometheusText(null))).toEqual(['MaloteNotObserved'])
  })
})

interface Dashboard {
  readonly panels: readonly {
    readonly id: number
    readonly title: string
    readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>
    readonly targets: readonly { readonly expr: string }[]
  }[]
}

describe.skipIf(!canCheck)('the dashboard', () => {
  const dashboard = JSON.parse(readFileSync(new URL('malote-dashboard.json', import.meta.url), 'utf8')) as Dashboard
  const expressions = dashboard.panels.flatMap(({ targets }) =>
    targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '2m').replaceAll('$topic', '.*')),
  )

  it('has something to show in each panel, of series taken from a real outbox that has all there is', async () => {
    startRelay()
    broker.failWith(({ topic }) => (topic === 'orders' ? { kind: 'permanent', code: 'NO', message: 'never' } : null))
    await add('payments')
    await broker.received(1)
    await add('orders')
    await eventually(async () => expect((await outboxStatus(database.pool())).heldKeys).toBe(1))
    broker.goDown()
    await add('payments')
    await eventually(async () => expect((await outboxStatus(database.pool())).outages).toHaveLength(1))
    const series = steadySeries(await metrics())

    const empty = expressions.filter((expr) => {
      const file = join(folder, 'panel.yml')
      const promql = [{ expr, eval_time: '5m', exp_samples: [] }]
      writeFileSync(
        file,
        JSON.stringify({ tests: [{ interval: '30s', input_series: series, promql_expr_test: promql }] }),
      )
      return !comesOut(file)
    })

    expect(empty).toEqual([])
  })

  it('shows every metric that there is, in panels that lie beside each other', async () => {
    startRelay()
    await eventually(async () => expect((await outboxStatus(database.pool())).relays).toHaveLength(1))
    const names = [...(await metrics()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${String(x + (n % w))},${String(y + Math.floor(n / w))}`),
    )

    expect(names.filter((name) => !expressions.some((expr) => expr.includes(name)))).toEqual([])
    expect(new Set(cells).size).toBe(cells.length)
    expect(dashboard.panels.every(({ gridPos }) => gridPos.x + gridPos.w <= 24)).toBe(true)
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
  })
})
