import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { wrongWithGuides, wrongWithService, wrongWithTarball, wrongWithVersions } from './release-rules.ts'

describe('the versions of a release', () => {
  const release = { before: '0.1.0', versions: ['0.2.0', '0.2.0'], hadChangesets: true, changesetsLeft: 0 }

  it.each([
    ['one new version for all', {}, []],
    ['the old one, with nothing to release', { versions: ['0.1.0'], hadChangesets: false }, []],
    ['two versions', { versions: ['0.2.0', '0.1.1'] }, ['the packages have the versions 0.2.0, 0.1.1']],
    ['the old one', { versions: ['0.1.0', '0.1.0'] }, ['the changesets left the version at 0.1.0']],
    ['a changeset left', { changesetsLeft: 1 }, ['1 changesets are left over']],
  ])('%s', (_, change, wrong) => {
    expect(wrongWithVersions({ ...release, ...change })).toEqual(wrong)
  })
})

describe('a tarball', () => {
  const tarball = {
    name: '@malote/a',
    version: '0.2.0',
    files: ['dist', 'create.mjs'],
    paths: ['package/package.json', 'package/dist/index.js', 'package/create.mjs'],
    manifest: '{ "dependencies": { "@malote/b": "^0.2.0" } }',
    changelog: '# @malote/a\n\n## 0.2.0\n\n- a change',
  }

  it.each([
    ['whole', {}, []],
    ['without its build', { paths: ['package/create.mjs', 'package/distant'] }, ['@malote/a carries no dist']],
    [
      'with a range of the workspace',
      { manifest: '{ "dependencies": { "@malote/b": "workspace:^" } }' },
      ['@malote/a asks for a package of the workspace'],
    ],
    ['without a changelog', { changelog: '' }, ['@malote/a has no changelog of 0.2.0']],
    ['with the last changelog', { changelog: '## 0.2.0-next\n\n## 0.1.0' }, ['@malote/a has no changelog of 0.2.0']],
  ])('%s', (_, change, wrong) => {
    expect(wrongWithTarball({ ...tarball, ...change })).toEqual(wrong)
  })
})

it.each([
  ['that version', { '@malote/outbox-core': '^0.2.0', pg: '^8.0.0' }, []],
  [
    'another one',
    { '@malote/outbox-core': '^0.1.0' },
    ['`npm create malote` makes a service with @malote/outbox-core ^0.1.0'],
  ],
  ['none at all', { pg: '^8.0.0' }, ['`npm create malote` makes a service without a package of ours']],
])('a new service asks for %s', (_, dependencies, wrong) => {
  expect(wrongWithService(dependencies, '0.2.0')).toEqual(wrong)
})

describe('the guides in a package', () => {
  function guides(pages: Record<string, string>): string {
    const docs = mkdtempSync(join(tmpdir(), 'malote-guides-'))
    onTestFinished(() => rmSync(docs, { recursive: true }))
    mkdirSync(join(docs, 'decisions'))
    for (const [page, text] of Object.entries(pages)) writeFileSync(join(docs, page), text)
    return docs
  }

  it.each([
    ['to each other, to a heading, to elsewhere', '[a](decisions/b.md#c) [b](#c) [c](https://malote.dev)', []],
    ['in code', '```\n[a](gone.md)\n```', []],
    ['to a page that is gone', '[a](gone.md#b)', ['in the package, a.md links to gone.md, which is not there']],
    ['out of them', '[a](../images/a.png)', ['in the package, a.md links to ../images/a.png, which is not there']],
  ])('link %s', (_, text, wrong) => {
    expect(wrongWithGuides(guides({ 'a.md': text, 'decisions/b.md': '[a](../a.md)' }), 2)).toEqual(wrong)
  })

  it('are all there', () => {
    expect(wrongWithGuides(guides({ 'a.md': '' }), 2)).toEqual(['1 of 2 guides are in the package'])
  })
})
