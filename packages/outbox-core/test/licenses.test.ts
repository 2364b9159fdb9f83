import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'

it('the licence of what is bundled into the command line is packed with it, as its author wrote it', () => {
  const { resolve } = createRequire(import.meta.url)
  const read = (path: string): string => readFileSync(path, 'utf8')
  const bundled = /noExternal: \['([^\]]+)'\]/
    .exec(read(join(import.meta.dirname, '../tsup.config.ts')))?.[1]
    ?.split("', '")

  expect(bundled).toEqual(['commander'])
  const original = read(join(dirname(resolve('commander')), 'LICENSE'))
  expect(read(join(import.meta.dirname, '../licenses/commander.txt'))).toBe(original)
  expect(read(join(import.meta.dirname, '../package.json'))).toContain('"licenses"')
})
