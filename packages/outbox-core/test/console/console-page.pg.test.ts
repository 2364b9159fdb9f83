import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { decide as decideOn } from '@malote/testing/console-page'
import { canInstallDebianPackages, installDebianPackage } from '@malote/testing/services/debian-package'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createConsole } from '../../src/console/index.ts'
import { listOperatorActions } from '../../src/index.ts'
import { serveConsole } from '../../src/process/console-server.ts'
import type { PublishFailure } from '../../src/publisher.ts'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from '../relay-bench.ts'

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const executablePath = process.env['MALOTE_TEST_CHROMIUM'] ?? '/usr/bin/chromium'
/** Where pictures go, for whoever wants to look: docs/images holds two. */
const pictures = process.env['MALOTE_TEST_PICTURES']
const hostile = '<img src=x onerror="document.title=\'owned\'">&amp;'
const permanent: PublishFailure = { kind: 'permanent', code: 'REFUSED', message: 'account 17 is closed' }

let bench: RelayBench
let relay: StartedRelay
let served: ChildProcess
let url = ''
let browser: Browser
let page: Page
const [pageErrors, requests]: [string[], string[]] = [[], []]

beforeAll(async () => {
  if (!existsSync(executablePath) && canInstallDebianPackages()) installDebianPackage('chromium')
  bench = await createRelayBench(inject('postgresUrl'))
  relay = bench.relay({ name: 'relay-1' })
  relay.relay.start()
  await bench.add(aMessage({ topic: 'payments' }), aMessage())
  await relay.broker.received(2)
  served = spawn(
    process.execPath,
    ['--conditions=@malote/source', program, 'console', '--allow-actions', '--port', '0'],
    {
      env: { ...process.env, DATABASE_URL: bench.urlAs.operator, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  url = await new Promise<string>((resolve) => {
    served.stdout?.on('data', (text: Buffer) => resolve(/http\S+/.exec(String(text))?.[0] ?? ''))
  })
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' })
  page.on('pageerror', (error) => pageErrors.push(error.message))
  page.on('console', (message) => (message.type() === 'error' ? pageErrors.push(message.text()) : undefined))
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(url)
})
afterAll(async () => {
  await browser?.close()
  if (served.exitCode === null && served.kill('SIGTERM')) await once(served, 'exit')
  await bench.reset()
  await bench.database.drop()
})

const see = (selector: string, text: string | RegExp) =>
  page.locator(selector).filter({ hasText: text }).first().waitFor()
const seeNo = (selector: string) => page.locator(selector).first().waitFor({ state: 'detached' })
async function picture(name: string, fullPage = true): Promise<void> {
  if (pictures === undefined) return
  await page.evaluate(`document.getElementById('said').textContent = ''`)
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage })
}

const decide = (button: string, reason: string, asked?: Readonly<Record<string, string>>) =>
  decideOn(page, button, reason, asked)

/** The first message of a key is refused for ever; the others wait behind it. */
async function kill(topic: string, orderingKey: string): Promise<readonly string[]> {
  const refused = new Set<string>()
  relay.broker.failWith((message) =>
    refused.size === 0 || refused.has(message.id) ? (refused.add(message.id), permanent) : null,
  )
  const ids = await bench.add(aMessage({ topic, orderingKey }), aMessage({ topic, orderingKey }))
  await see('#held-keys', orderingKey)
  relay.broker.failWith(() => null)
  return ids
}
/** Of these messages, what the broker took, in order: the page is quiet as soon as nothing is dead, which may be before that. */
const expectAccepted = (of: readonly string[], ids: readonly string[]) =>
  expect.poll(() => relay.broker.accepted.map(({ id }) => id).filter((id) => of.includes(id))).toEqual(ids)

/** An outage and a dead destination are made with a real broker: examples/brokerage/test/console-on-rabbitmq.broker.test.ts. */
describe('the console in a browser, at night', () => {
  it('is quiet while all is well', async () => {
    await see('h1', 'All is well')
    await see('#flow', 'payments')

    for (const section of ['findings', 'breakers', 'dead-letters', 'held-keys', 'retries', 'paused'])
      expect(await page.locator(`#${section}`).count()).toBe(0)
    await picture('well')
  })

  it('replays a dead letter, whose key goes on in order, and keeps who and why', async () => {
    const ids = await kill('orders', 'account-17')
    await see('#dead-letters', 'account 17 is closed')
    await see('.finding', 'DEAD_LETTERS')
    await page.emulateMedia({ colorScheme: 'dark' })
    await picture('dead-letter-dark')
    await page.emulateMedia({ colorScheme: 'light' })
    await picture('dead-letter')

    await decide('#dead-letters [data-action=replay]', 'the account is open again')

    await seeNo('#dead-letters')
    await see('#audit', 'the account is open again')
    await see('h1', 'All is well')
    await expectAccepted(ids, ids)
    expect(await listOperatorActions({ db: bench.as.operator })).toMatchObject([
      { action: 'replay', operator: 'ana', reason: 'the account is open again' },
    ])
  })

  it('releases a held key, and discards what it was held for', async () => {
    const ids = await kill('orders', 'account-18')

    await decide('#held-keys [data-action=release-key]', 'the second does not need the first')
    await seeNo('#held-keys')
    await expectAccepted(ids, ids.slice(1))
    await decide('#dead-letters [data-action=discard]', 'booked by hand')

    await see('h1', 'All is well')
    expect((await listOperatorActions({ db: bench.as.operator, limit: 2 })).map(({ action }) => action)).toEqual([
      'discard',
      'release',
    ])
  })

  it('holds a key by hand, whose messages wait, and releases it', async () => {
    const other = { topic: 'payments', orderingKey: 'account-31' }
    await decide('tr[data-row=payments] [data-action=hold-key]', 'under review', { orderingKey: 'account-30' })
    await see('#held-keys', 'ana: under review')
    await see('#audit', 'under review')
    await see('.finding', 'HELD_KEYS')
    await picture('held-by-hand')
    const [waits, leaves] = await bench.add(aMessage({ ...other, orderingKey: 'account-30' }), aMessage(other))
    await expectAccepted([String(waits), String(leaves)], [String(leaves)])

    await decide('#held-keys [data-action=release-key]', 'reviewed')

    await seeNo('#held-keys')
    await see('h1', 'All is well')
    await expectAccepted([String(waits), String(leaves)], [String(leaves), String(waits)])
    expect(await listOperatorActions({ db: bench.as.operator, limit: 2 })).toMatchObject([
      { action: 'release', operator: 'ana', reason: 'reviewed' },
      { action: 'hold', operator: 'ana', reason: 'under review' },
    ])
  })

  it('pauses a topic and lets it go on', async () => {
    await decide('tr[data-row=payments] [data-action=pause-topic]', 'the ledger moves house')
    await see('#paused', 'the ledger moves house')
    await decide('#paused [data-action=resume-topic]', 'moved')

    await seeNo('#paused')
    await see('h1', 'All is well')
  })

  it('shows names that are markup as they are written', async () => {
    await kill(hostile, hostile)
    await see('#dead-letters td', hostile)
    await see('#held-keys td', hostile)

    expect(await page.locator('main img, main script').count()).toBe(0)
    expect(await page.title()).toContain('Malote')
    await decide('#dead-letters [data-action=discard]', hostile)
    await see('#audit', hostile)
  })

  it('fits a phone, in light and dark', async () => {
    await kill('orders', 'account-19')
    await page.setViewportSize({ width: 390, height: 844 })
    const overflow = () => page.locator('html').evaluate((root) => root.scrollWidth - root.clientWidth)
    const ground = () =>
      page
        .locator('body')
        .evaluate((body) => String(body.ownerDocument.defaultView?.getComputedStyle(body).backgroundColor))
    await picture('phone')
    await page.evaluate('scrollTo(0, 0)')
    const light = await ground()

    expect(await overflow()).toBeLessThanOrEqual(0)
    await page.emulateMedia({ colorScheme: 'dark' })
    await picture('phone-dark', false)
    await page.click('#dead-letters [data-action=replay]')
    await page.waitForSelector('dialog[open]')
    expect(await overflow()).toBeLessThanOrEqual(0)
    await picture('phone-dialog', false)
    await page.keyboard.press('Escape')
    expect(await ground()).not.toBe(light)
  })

  it('looks no more while it is hidden, and says when its server is gone', async () => {
    const hide = (isHidden: boolean) =>
      page.evaluate(
        `Object.defineProperty(document, 'hidden', { value: ${String(isHidden)}, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))`,
      )
    await hide(true)
    const before = requests.length
    await page.evaluate(`new Promise((done) => setTimeout(done, 1_500))`)
    expect(requests.length - before).toBeLessThanOrEqual(1) // One may have been under way.
    await Promise.all([page.waitForResponse(/api\/view/), hide(false)])

    expect(pageErrors).toEqual([])
    expect(requests.filter((address) => !address.startsWith(url))).toEqual([])
    served.kill('SIGTERM')
    await once(served, 'exit')
    await see('h1', 'The console cannot look')
    await picture('away')
    expect(served.exitCode).toBe(0)
  })
})

it('asks for its token where it needs one, and takes one out of the address', async () => {
  const token = 'a-token-of-some-length'
  const handle = createConsole({ pool: bench.as.operator, access: { token } })
  const server = await serveConsole(handle, { host: '127.0.0.1', port: 0 })
  const visitor = await browser.newPage()

  await visitor.goto(server.url)
  await visitor.fill('#token', 'not the token, I am afraid')
  await visitor.click('form.token button')
  await visitor.locator('h1', { hasText: 'needs its token' }).waitFor()
  await visitor.fill('#token', token)
  await visitor.click('form.token button')
  await visitor.locator('#flow').waitFor()
  const other = await browser.newPage()
  await other.goto(`${server.url}#token=${token}`)
  await other.locator('#flow').waitFor()

  expect(other.url()).toBe(server.url)
  await Promise.all([visitor.close(), other.close()])
  await server.close()
})
