import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { loadConfigs } from '../src/process/config.ts'

const folder = mkdtempSync(join(tmpdir(), 'malote-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

let files = 0
function written(text: string): string {
  const file = join(folder, `${String(files++)}.mjs`)
  writeFileSync(
    file,
    `const publisher = { name: 'none', publish: async () => [], close: async () => {} }
     export default ${text}`,
  )
  return file
}

it.each([
  ['one outbox', '{ publisher }', [undefined]],
  ['several', `[{ outbox: 'a', publisher }, { outbox: 'b', publisher, relay: { schema: 'b' } }]`, ['a', 'b']],
  [
    'a function that gives several',
    `async (environment) => ['a', 'b'].map((outbox) => ({ outbox, publisher, databaseUrl: environment.PATH + outbox }))`,
    ['a', 'b'],
  ],
])('takes %s', async (_, text, names) => {
  expect((await loadConfigs(written(text))).map(({ outbox }) => outbox)).toEqual(names)
})

it('lets the command line say the schema of one outbox, and only of one', async () => {
  const [config] = await loadConfigs(written(`{ publisher, relay: { schema: 'a', batchSize: 7 } }`), 'b')
  expect(config?.relay).toEqual({ schema: 'b', batchSize: 7 })

  const several = written(`[{ outbox: 'a', publisher }, { outbox: 'b', publisher, relay: { schema: 'b' } }]`)
  await expect(loadConfigs(several, 'c')).rejects.toThrow('relay.schema instead of --schema')
})

it.each([
  ['{}', 'must export as default { publisher }'],
  ['[]', 'must export as default { publisher }'],
  ['[{ publisher }, {}]', 'must export as default { publisher }'],
  ['(() => { throw new Error("no such queue") })', 'no such queue'],
  [`[{ outbox: 'a', publisher }, { publisher, relay: { schema: 'b' } }]`, 'give each a name'],
  [`[{ outbox: 'a', publisher }, { outbox: 'a', publisher, relay: { schema: 'b' } }]`, 'two outboxes named a'],
  [
    `[{ outbox: 'a', publisher }, { outbox: 'b', publisher, relay: { schema: 'malote' } }]`,
    'b has the database and schema of another',
  ],
])('refuses %s', async (text, why) => {
  await expect(loadConfigs(written(text))).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    message: expect.stringContaining(why),
  })
})
