import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** Rows of the guide's table: a file that every adapter has, and the function its heart is. `…` stands for the broker's name. */
const places = [...read('docs/writing-an-adapter.md').matchAll(/^\| `([\w-]+\.ts)` \| `?([\w…*]+)`?[^|]*\| /gm)].map(
  ([, file = '', heart = '']) => ({ file, heart }),
)

it('the guide names ten places', () => {
  expect(places).toHaveLength(10)
})

describe.each(['kafka', 'rabbitmq', 'sqs'])('whoever knows another adapter finds in that of %s', (broker) => {
  it.each(places)('$heart in $file', ({ file, heart }) => {
    const text = read(`packages/adapter-${broker}/src/${file}`)
    const name = heart.replace('…', broker).replace('*', '\\w+')

    expect(text).toMatch(heart === 'exports' ? /^export \{/m : new RegExp(`^export (async )?function ${name}\\b`, 'im'))
  })
})
