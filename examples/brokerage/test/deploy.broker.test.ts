import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { canInstallDebianPackages, installDebianPackage } from '@malote/testing/services/debian-package'
import { expect, it } from 'vitest'
import { keepsOrder, subscriptions } from '../src/messaging/subscriptions.ts'

const folder = fileURLToPath(new URL('../deploy/', import.meta.url))
const promtool = (...args: string[]) => spawnSync('promtool', args, { cwd: folder, encoding: 'utf8' })

it('the alerts fire when they should and are silent when they should not', () => {
  if (promtool('--version').error !== undefined && canInstallDebianPackages()) installDebianPackage('prometheus')

  const { status, stdout, stderr } = promtool('test', 'rules', 'alerts.test.yml')

  expect(`${stdout}${stderr}`).toContain('SUCCESS')
  expect(status).toBe(0)
})

it('the queues made on AWS are those the code subscribes', () => {
  const terraform = readFileSync(`${folder}main.tf`, 'utf8')

  for (const subscription of subscriptions) {
    const topics = subscription.topics.map((topic) => `"${topic}"`).join(', ')
    const line = new RegExp(
      `${subscription.queue} += \\{ fifo = ${String(keepsOrder(subscription))}, topics = \\[${topics}\\] \\}`,
    )
    expect(terraform).toMatch(line)
  }
})
