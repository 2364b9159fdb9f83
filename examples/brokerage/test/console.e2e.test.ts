import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { canInstallDebianPackages, installDebianPackage } from '@malote/testing/services/debian-package'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { curls } from './seeds.ts'
import { type DemoProcess, processTree, startDemo, stillRunning } from './run-demo-process.ts'

const executablePath = process.env['MALOTE_TEST_CHROMIUM'] ?? '/usr/bin/chromium'
let demo: DemoProcess
let browser: Browser
let page: Page
let api = ''
/** For what takes a restart, an outage or a timeout of the demo, on a busy machine. */
const patienceMs = 45_000
const pageErrors: string[] = []

beforeAll(async () => {
  if (!existsSync(executablePath) && canInstallDebianPackages()) installDebianPackage('chromium')
  demo = startDemo('--orders', '40', '--kill-relay', '1', '--keep')
  const [, started] = await Promise.all([
    demo.whenSaid(/console {3}(\S+)\//),
    chromium.launch({ executablePath, args: ['--no-sandbox'] }),
  ])
  browser = started
  api = /console {3}(\S+)\//.exec(demo.stderr())?.[1] ?? ''
  page = await browser.newPage({ viewport: { width: 1280, height: 1000 } })
  page.on('pageerror', (error) => pageErrors.push(error.message))
  await page.goto(api)
  await page.waitForSelector('.SETTLED .card')
})
afterAll(async () => {
  await browser?.close()
  const pids = processTree(demo.child.pid as number)
  demo.child.kill('SIGTERM')
  await demo.ended
  expect(stillRunning(pids)).toEqual([])
})

/** The pictures of the README, made anew with `MALOTE_SCREENSHOTS=1`. */
const picture = async (name: string) => {
  const path = fileURLToPath(new URL(`../images/console-${name}.png`, import.meta.url))
  if (process.env['MALOTE_SCREENSHOTS'] === '1') await page.screenshot({ path })
}
const textOf = async (selector: string) => (await page.textContent(selector)) ?? ''
const whenText = (selector: string, text: string) =>
  page.locator(selector).filter({ hasText: text }).waitFor({ timeout: patienceMs })
const settled = async () => Number(await textOf('#settled'))
const whenSettled = (count: number) => expect.poll(settled, { timeout: patienceMs }).toBeGreaterThanOrEqual(count)

describe('the console', () => {
  it('places one order for the same key sent twice, and shows its history beside its ledger', async () => {
    const before = await settled()

    await page.click('#twice')
    await whenText('#answer', 'replayed')
    await whenSettled(before + 1)
    const ids = [...(await textOf('#answer')).matchAll(/[\da-f-]{36}/g)].map(([id]) => id)
    await page.click(`[data-id="${String(ids[0])}"]`)
    await page.waitForSelector('dialog[open] table')
    const detail = await textOf('#detailbody')
    await page.keyboard.press('Escape')

    expect(ids[0]).toBe(ids[1])
    for (const word of ['STARTED', 'BALANCE_RESERVED', 'SENT_TO_B3', 'FILLED', 'SETTLED', 'payment', 'delivery'])
      expect(detail).toContain(word)
    expect(await settled()).toBe(before + 1)
  })

  it('kills the relay, which comes back, and every order settles', async () => {
    const before = await settled()

    await page.click('[data-fault=duplicateEvents]')
    await page.click('#ten')
    await page.click('[data-kill=relay]')
    await whenText('#history', 'relay killed with')
    await whenSettled(before + 10)
    await page.click('#mend')

    expect(await textOf('#history')).toMatch(/back in \d+\.\d s; \d+ duplicates absorbed/)
    expect(await textOf('#ledger')).toBe('R$ 0.00')
  })

  it('shows an outage of the exchange, and mends it', async () => {
    const before = await settled()

    await page.click('[data-fault=b3down]')
    await page.click('#ten')
    await whenText('#breaker', 'open')
    await page.click('#mend')
    await whenText('#breaker', 'closed')
    await expect.poll(() => textOf('#underway'), { timeout: patienceMs }).toBe('0')

    expect(await settled()).toBeGreaterThanOrEqual(before)
    expect(await textOf('#ledger')).toBe('R$ 0.00')
  })

  it('lets a person decide an order of which the exchange says nothing, by keyboard', async () => {
    await page.click('[data-fault=b3unknown]')
    await page.click('#send')
    await page.waitForSelector('[data-task]', { timeout: patienceMs })
    const id = (await page.getAttribute('[data-task]', 'data-task')) ?? ''
    await picture('light')
    await page.focus(`[data-task="${id}"] button:nth-child(2)`)
    await page.keyboard.press('Enter')
    await page.waitForSelector(`.COMPENSATED [data-id="${id}"]`, { timeout: patienceMs })
    await page.click('#mend')

    expect(await textOf(`[data-id="${id}"]`)).toContain('MANUAL')
    expect(await textOf('#ledger')).toBe('R$ 0.00')
  })

  it('fits a phone, knows light and dark, and has run without an error', async () => {
    await page.setViewportSize({ width: 390, height: 844 })
    const overflow = await page.locator('html').evaluate((root) => root.scrollWidth - root.clientWidth)
    const ground = () =>
      page
        .locator('body')
        .evaluate((body) => String(body.ownerDocument.defaultView?.getComputedStyle(body).backgroundColor))
    const first = await ground()
    await picture('phone')
    await page.click('#theme')

    expect(overflow).toBeLessThanOrEqual(0)
    expect(await ground()).not.toBe(first)
    expect(pageErrors).toEqual([])
  })
})

describe('the pages beside it', () => {
  it("lead to the library's console, where a topic is paused and goes on", async () => {
    const decide = async (button: string, why: string) => {
      await page.click(button)
      await page.fill('dialog [name=operator]', 'ana')
      await page.fill('dialog [name=reason]', why)
      await page.click('dialog .go')
    }
    await page.setViewportSize({ width: 1280, height: 1000 })
    await page.goto(api)
    await page.click('#outboxconsole')
    await whenText('#flow', 'order-requests')
    await page.locator('#flow [data-action=pause-topic]').first().waitFor()

    await decide('#flow [data-action=pause-topic] >> nth=0', 'the ledger moves house')
    await whenText('#paused', 'the ledger moves house')
    await decide('#paused [data-action=resume-topic]', 'moved')
    await whenText('#audit', 'moved')

    expect(page.url()).toBe(`${api}/malote/`)
    expect(pageErrors).toEqual([])
  })

  it.each(curls)('answer as the list of features says: %s', async (command) => {
    const placed = await fetch(`${api}/api/orders`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'idempotency-key': `for-${command.replaceAll(/[^\w-]/g, '').slice(-60)}`,
        authorization: 'Bearer fake-token',
      },
      body: '{"amount": 1000, "asset": "PETR4", "type": "BUY"}',
    })
    const { id } = (await placed.json()) as { id: string }
    // A stream is read for a moment; of the others the status tells.
    const quiet = command
      .replace(
        /^curl( -i)?/,
        `curl -sS --max-time ${command.includes(' -N ') ? '1' : '10'} -o /dev/null -w '%{http_code}'`,
      )
      .replace('/ID', `/${id}`)
    const { stdout, stderr } = spawnSync('bash', ['-c', quiet], {
      env: {
        ...process.env,
        API: api,
        U: 'Authorization: Bearer fake-token',
        A: 'Authorization: Bearer fake-admin-token',
      },
      encoding: 'utf8',
    })

    expect({ status: Number(stdout), stderr: stderr.replace(/^curl: \(28\).*\n?/, '') }).toEqual({
      // Between the order and its cancellation it may have been sent.
      status: command.includes('-X DELETE')
        ? expect.toSatisfy((status: number) => [200, 409].includes(status))
        : expect.toSatisfy((status: number) => status >= 200 && status < 300),
      stderr: '',
    })
    await page.request.post(`${api}/api/faults`, { data: {} })
  })

  it('take the literal request as printed, and describe it in Swagger with something to try', async () => {
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': 'qualquer-string-unica',
      authorization: 'Bearer fake-token',
    }
    const body = '{"amount": 1000, "asset": "PETR4", "type": "BUY"}'
    const response = await fetch(`${api}/api/orders`, { method: 'POST', headers, body })
    await page.setViewportSize({ width: 1280, height: 1000 })
    await page.goto(`${api}/swagger`)
    await page.click('#operations-orders-post_api_orders, .opblock-summary-path[data-path="/api/orders"]')
    await page.waitForSelector('textarea')

    expect(response.status).toBe(202)
    expect(demo.stderr()).toContain("-H 'Idempotency-Key: qualquer-string-unica' -H 'Authorization: Bearer fake-token'")
    expect(await page.inputValue('textarea')).toContain('PETR4')
  })
})
