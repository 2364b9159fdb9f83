import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DemoProcess, demo, processTree, startDemo, stillRunning } from './run-demo-process.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'malote-demo-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const clean = { lost: 0, keyOrderViolations: 0, ledgerSum: 0, deadLetters: 0 }
let files = 0
function fileOf(text: string): string {
  const file = join(folder, `input-${String(++files)}.jsonl`)
  writeFileSync(file, text)
  return file
}

async function whenAllEnded(pids: readonly number[]): Promise<void> {
  const deadline = performance.now() + 60_000
  while (stillRunning(pids).length > 0) {
    if (performance.now() > deadline) throw new Error(`still running: ${stillRunning(pids).join(', ')}`)
    await pause(50)
  }
}

/** Waits until orders have been placed and closed, so that a kill falls into the middle of everything. */
const whenBusy = (running: DemoProcess) => running.whenSaid(/orders [1-9]\d* accepted, [1-9]\d* closed/)

describe('the demo', () => {
  it('loses nothing, repeats nothing and keeps every order while the relay is killed three times', async () => {
    const summary = await demo('--orders', '150', '--seed', '2')

    expect(summary).toMatchObject({ ...clean, orders: 150, relayKills: 3 })
    expect(summary.accepted + summary.refused + summary.replayed).toBe(150)
    expect(summary.effectsApplied).toBe(summary.messagesPublished)
    expect(summary.duplicateDeliveries).toBeGreaterThan(0)
    expect([summary.settled, summary.compensated]).toEqual([summary.filled, summary.rejected])
    expect(summary.rejected).toBeGreaterThan(0)
  })

  it('carries one order through three kills', async () => {
    const input = fileOf('{"amount": 1000, "asset": "PETR4", "type": "BUY"}\n')

    expect(await demo('--input', input)).toMatchObject({ ...clean, accepted: 1, settled: 1, relayKills: 3 })
  })

  it('of no order ends well', async () => {
    expect(await demo('--input', fileOf(''))).toMatchObject({ ...clean, orders: 0, accepted: 0, messagesPublished: 0 })
  })
})

describe('bad input', () => {
  it.each([
    [
      'garbage in the second line',
      () => ['--input', fileOf('{"amount":1,"asset":"PETR4","type":"BUY"}\n%$#\n')],
      /input-\d+\.jsonl:2: /,
    ],
    ['a file that is not there', () => ['--input', '/does/not/exist.jsonl'], /exist\.jsonl: cannot be read/],
    ['an unknown option', () => ['--ordres', '3'], /--ordres/],
    ['a data folder that is a file', () => ['--data', fileOf('not a folder')], /--data \S+ cannot be written/],
    [
      'a data folder whose database is damaged',
      () => {
        const data = join(folder, 'damaged data')
        mkdirSync(join(data, 'postgres'), { recursive: true })
        writeFileSync(join(data, 'postgres', 'PG_VERSION'), 'what?')
        writeFileSync(join(data, 'demo.json'), JSON.stringify({ broker: 'sqs', postgres: join(data, 'postgres') }))
        return ['--data', data]
      },
      /cannot start from it .* damaged/,
    ],
  ])('%s is named, and the demo ends with 2', async (_what, args, message) => {
    const { code, stdout, stderr } = await startDemo('--json', ...args()).ended

    expect(code).toBe(2)
    expect(stderr).toMatch(message)
    expect(stdout).toBe('')
  })
})

describe('a demo that is ended', () => {
  it('by Ctrl-C stops every process, PostgreSQL included', async () => {
    const running = startDemo('--orders', '2000')
    await whenBusy(running)
    const pids = processTree(running.child.pid as number)

    running.child.kill('SIGINT')
    const { code } = await running.ended

    expect(code).toBe(130)
    expect(pids.length === 0 || pids.length > 10).toBe(true)
    await whenAllEnded(pids)
  })

  it('by SIGKILL leaves no process, and a second run on its data finishes what was left', async () => {
    const data = join(folder, 'data')
    const running = startDemo('--orders', '300', '--seed', '3', '--data', data)
    await whenBusy(running)
    const pids = processTree(running.child.pid as number)

    process.kill(-(running.child.pid as number), 'SIGKILL')
    await running.ended
    const summary = await demo('--orders', '300', '--seed', '3', '--data', data)
    await whenAllEnded(pids)
    // Not inside the folder where PostgreSQL may not enter it.
    rmSync((JSON.parse(readFileSync(join(data, 'demo.json'), 'utf8')) as { postgres: string }).postgres, {
      recursive: true,
    })

    expect(summary).toMatchObject({ ...clean, orders: 300 })
    expect(summary.settled + summary.compensated).toBe(summary.accepted)
    expect(summary.effectsApplied).toBe(summary.messagesPublished)
    // What the first run had placed is recognised by its keys and not placed again.
    expect(summary.replayed).toBeGreaterThan(30)
  })
})
