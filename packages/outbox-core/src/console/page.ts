import { existsSync, readFileSync } from 'node:fs'
import { OutboxError } from '../errors.ts'

/** The source stands one folder deeper than the built file. */
const folders = [new URL('../../console-page/', import.meta.url), new URL('../console-page/', import.meta.url)]

const files: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'console.css': 'text/css; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'sections.js': 'text/javascript; charset=utf-8',
  'findings.js': 'text/javascript; charset=utf-8',
  'undecided.js': 'text/javascript; charset=utf-8',
  'elements.js': 'text/javascript; charset=utf-8',
  'decide.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
}

export interface PageFile {
  readonly type: string
  readonly content: string
}

/**
 * The files of the page, by name.
 *
 * @throws OutboxError `INVALID_OPTION` when a bundler has left them behind
 */
export function readPage(): ReadonlyMap<string, PageFile> {
  const folder = folders.find((url) => existsSync(new URL('index.html', url)))
  if (folder === undefined)
    throw new OutboxError(
      'INVALID_OPTION',
      'the files of the console are not beside its code: keep @malote/outbox-core out of the bundle (external)',
    )
  return new Map(
    Object.entries(files).map(([name, type]) => [name, { type, content: readFileSync(new URL(name, folder), 'utf8') }]),
  )
}
