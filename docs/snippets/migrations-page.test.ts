import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/migrations.md', root), 'utf8')

it.each(['outbox-core', 'idempotency'])(
  'the page for database administrators has each migration of %s, in order',
  (folder) => {
    const files = readdirSync(new URL(`packages/${folder}/migrations`, root)).map((file) => file.replace('.sql', ''))
    const listed = [...page.matchAll(new RegExp(`^\\| ${folder} \`(\\w+)\``, 'gm'))].map((row) => row[1])

    expect(listed).toEqual(files.sort())
  },
)
