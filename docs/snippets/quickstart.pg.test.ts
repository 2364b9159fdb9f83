import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createTestDatabase } from '@malote/testing/database'
import { expect, inject, it } from 'vitest'

const file = fileURLToPath(new URL('quickstart.mjs', import.meta.url))

function start(url: string): ChildProcess {
  const env = { ...process.env, DATABASE_URL: url }
  return spawn(process.execPath, ['--conditions=@malote/source', file], { env, stdio: ['ignore', 'pipe', 'pipe'] })
}

it('the quickstart of the README, exactly as printed, shows each step and ends by Ctrl-C', async () => {
  const database = await createTestDatabase(inject('postgresUrl'))
  const program = start(database.url)
  const exited = once(program, 'exit')
  const lines: string[] = []
  const errors: string[] = []
  program.stderr?.on('data', (text) => errors.push(String(text)))
  for await (const line of createInterface({ input: program.stdout as NodeJS.ReadableStream })) {
    lines.push(line.replace(/[0-9a-f-]{36}/, '…'))
    if (line.startsWith('4.')) program.kill('SIGINT')
  }

  expect(await exited).toEqual([0, null])
  await database.drop()
  expect([lines, errors.filter((text) => !text.includes('ExperimentalWarning'))]).toEqual([
    [
      '1. order … and its message are committed',
      '2. the relay has brought it to the broker',
      '3. message … arrived: processed',
      '3. message … arrived: duplicate',
      '4. 1 sale, 1999 cents in all. Ctrl-C ends it',
      '5. stopped: nothing lost, nothing half done',
    ],
    [],
  ])
})

it('with a wrong address it ends at once and names the address', async () => {
  const program = start('postgres://nobody@127.0.0.1:9/none')
  const errors: string[] = []
  program.stderr?.on('data', (text) => errors.push(String(text)))

  expect(await once(program, 'close')).toEqual([1, null])
  expect(errors.join('')).toContain('connect ECONNREFUSED 127.0.0.1:9')
})
