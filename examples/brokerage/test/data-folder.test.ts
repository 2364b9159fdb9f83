import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UsageError } from '../src/demo/arguments.ts'
import { openDataFolder } from '../src/demo/data-folder.ts'
import { restartDelayMs } from '../src/supervisor/supervisor.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'malote data '))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a data folder', () => {
  it('may have spaces in its path', async () => {
    const opened = await openDataFolder(join(folder, 'a b'), 'sqs')

    expect(opened.path).toBe(join(folder, 'a b'))
  })

  it('that is a file, or below one, is refused saying so', async () => {
    writeFileSync(join(folder, 'file'), '')

    for (const path of [join(folder, 'file'), join(folder, 'file', 'below')])
      await expect(openDataFolder(path, 'sqs')).rejects.toThrow(UsageError)
  })

  it('whose note is damaged is refused naming it', async () => {
    const path = join(folder, 'damaged')
    await openDataFolder(path, 'sqs')
    writeFileSync(join(path, 'demo.json'), '{"broker":')

    await expect(openDataFolder(path, 'sqs')).rejects.toThrow('damaged: demo.json cannot be read')
  })

  it('of another broker is refused naming that one', async () => {
    await openDataFolder(join(folder, 'other'), 'sqs')

    await expect(openDataFolder(join(folder, 'other'), 'kafka')).rejects.toThrow('holds the queues of sqs')
  })
})

it('a role that dies again and again is started ever more slowly, and never given up', () => {
  expect([0, 1, 2, 3, 4, 5, 50].map(restartDelayMs)).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000])
})
