import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')

it('every file starts the verb that there is, with flags that it has, and asks the health pages that it serves', () => {
  const program = read('../../packages/outbox-core/src/cli/program.ts')
  const server = read('../../packages/outbox-core/src/process/health-server.ts')
  for (const name of ['malote-relay.service', 'Dockerfile']) {
    expect(read(name)).toMatch(/relay.*--config/)
    for (const [flag] of read(name).matchAll(/--(config|host|port)\b/g)) expect(program).toContain(`'${flag} <`)
  }
  for (const name of ['compose.yaml', 'kubernetes.yaml'])
    for (const [path] of read(name).matchAll(/\/(healthz|readyz)/g)) expect(server).toContain(`'${path}'`)
  expect(read('Dockerfile')).toContain('/dist/cli/main.js')
  expect(read('../../packages/outbox-core/package.json')).toContain('"malote": "./dist/cli/main.js"')
})

it('systemd takes the unit', { skip: !hasSystemd() }, () => {
  const unit = fileURLToPath(new URL('malote-relay.service', import.meta.url))
  execFileSync('systemd-analyze', ['verify', unit], { stdio: 'pipe' })
})

function hasSystemd(): boolean {
  try {
    execFileSync('systemd-analyze', ['--version'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}
