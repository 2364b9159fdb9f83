#!/usr/bin/env node
// npm create malote my-service: copies the template into a folder of that name, which must be empty or not there.
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const [folder, ...surplus] = process.argv.slice(2)
if (folder === undefined || folder.startsWith('-') || surplus.length > 0)
  end(
    2,
    'usage: npm create malote <folder>\n\nMakes a small service with an outbox in <folder>, which must be empty or not there.',
  )

const target = resolve(folder)
const name = basename(target)
  .toLowerCase()
  .replaceAll(/[^a-z0-9-]+/g, '-')
  .replaceAll(/^-+|-+$/g, '')
if (name === '') end(2, `"${folder}" makes no name for a package: use letters, digits and hyphens`)
if (existsSync(target) && readdirSync(target).length > 0)
  end(1, `${target} is not empty: choose another folder, nothing was written`)

cpSync(fileURLToPath(new URL('template', import.meta.url)), target, { recursive: true })
// npm leaves a .gitignore out of packages.
renameSync(join(target, 'gitignore'), join(target, '.gitignore'))
const manifest = join(target, 'package.json')
// All packages of Malote have one version, this one's.
const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
writeFileSync(
  manifest,
  readFileSync(manifest, 'utf8')
    .replace('"name": "my-service"', `"name": "${name}"`)
    .replaceAll(/("@malote\/[a-z-]+"): "[^"]*"/g, `$1: "^${version}"`),
)
console.log(
  `made ${target}\n\n  cd ${folder}\n  npm install\n  npm start    # then, in another terminal, what it prints\n  npm test`,
)

function end(code, words) {
  console.error(words)
  process.exit(code)
}
