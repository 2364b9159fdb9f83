import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInNewContext } from 'node:vm'
import { canInstallDebianPackages, installDebianPackage } from '@malote/testing/services/debian-package'
import { validate as lintDockerfile } from 'dockerfile-utils'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { Job } from 'kubernetes-models/batch/v1/Job'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { Service } from 'kubernetes-models/v1/Service'
import { afterAll, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { parseOrderRequest } from '../src/api/order-request.ts'
import { seedAccounts } from '../src/demo/accounts.ts'
import { keepsOrder, subscriptions } from '../src/messaging/subscriptions.ts'

const folder = fileURLToPath(new URL('../deploy/', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'malote-deploy-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
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

/** Roles that are entries of their own; what a person starts and what the demo simulates stays out. */
const roles = readdirSync(`${folder}../src`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && readdirSync(`${folder}../src/${entry.name}`).includes('main.ts'))
  .map(({ name }) => name)
  .filter((name) => name !== 'demo')

it('Compose understands its file, which runs every role', () => {
  if (spawnSync('docker-compose', ['--version']).error !== undefined && canInstallDebianPackages())
    installDebianPackage('docker-compose')
  cpSync(folder, scratch, { recursive: true })
  cpSync(`${folder}.env.example`, join(scratch, '.env'))

  const { status, stdout, stderr } = spawnSync('docker-compose', ['-f', 'compose.yaml', 'config'], {
    cwd: scratch,
    encoding: 'utf8',
  })

  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const services = Object.keys((parse(stdout) as { services: object }).services)
  expect(services).toEqual(expect.arrayContaining(roles.map((role) => (role === 'database' ? 'migrate' : role))))
})

const modules = {
  Deployment: 'apps/v1/Deployment',
  Service: 'v1/Service',
  HorizontalPodAutoscaler: 'autoscaling/v2/HorizontalPodAutoscaler',
  Job: 'batch/v1/Job',
  NetworkPolicy: 'networking.k8s.io/v1/NetworkPolicy',
} as const

/** What the compiler says of objects written as literals of their types. */
function typeErrorsOf(objects: readonly { readonly kind: keyof typeof modules }[]): string {
  // Where imports find the package.
  const home = mkdtempSync(fileURLToPath(new URL('../node_modules/.objects-', import.meta.url)))
  const file = join(home, 'objects.mts')
  const lines = objects.map(
    (object, at) =>
      `import type { I${object.kind} as Type${String(at)} } from 'kubernetes-models/${modules[object.kind]}'\n` +
      `export const object${String(at)}: Type${String(at)} = ${JSON.stringify(object)}`,
  )
  writeFileSync(file, lines.join('\n'))
  const tsc = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc6', import.meta.url))
  const flags = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2023',
  ]
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...flags, file], { encoding: 'utf8', cwd: home })
  rmSync(home, { recursive: true })
  return status === 0 ? '' : `${stdout}${stderr}`
}

it('Kubernetes knows every field of its objects, which run every role', () => {
  const kinds = { Deployment, Service, HorizontalPodAutoscaler, Job, NetworkPolicy }
  const objects = parseAllDocuments(readFileSync(`${folder}kubernetes.yaml`, 'utf8')).map(
    (document) => document.toJS() as { kind: keyof typeof kinds; metadata: { labels?: { role?: string } } },
  )

  for (const object of objects) new kinds[object.kind](object as never).validate()
  // The schemas let a field pass that no object has; the types of the same package do not.
  expect(typeErrorsOf(objects)).toBe('')

  const running = objects.flatMap(({ metadata }) => metadata.labels?.role ?? [])
  const expected = roles.map((role) => (role === 'database' ? 'migrate' : role)).filter((role) => role !== 'b3')
  expect(running.toSorted((a, b) => a.localeCompare(b))).toEqual(expected.toSorted((a, b) => a.localeCompare(b)))
})

it('the Dockerfile has no fault that a linter knows', () => {
  expect(lintDockerfile(readFileSync(`${folder}Dockerfile`, 'utf8'))).toEqual([])
})

it('a virtual user of the load test places an order as the API wants it', async () => {
  const script = readFileSync(`${folder}load.js`, 'utf8')
    .replaceAll(/^import .*$/gm, '')
    .replaceAll(/^export (default )?/gm, '')
  const sent: { url: string; body: string; headers: Record<string, string> }[] = []
  const checks: boolean[] = []
  const http = {
    post: (url: string, body: string, { headers }: { headers: Record<string, string> }) => {
      sent.push({ url, body, headers })
      return { status: 202 }
    },
  }
  const check = (response: object, named: Record<string, (response: object) => boolean>) =>
    checks.push(...Object.values(named).map((holds) => holds(response)))
  // What k6 gives a script: its modules, its environment, which user this is and which turn.
  const given = { http, check, __ENV: { API: 'http://api' }, __VU: 7, __ITER: 3 }
  const { options, placeOrder } = runInNewContext(`${script}\n;({ options, placeOrder })`, given) as {
    options: { thresholds: object; scenarios: Record<string, { executor: string }> }
    placeOrder: () => void
  }
  placeOrder()

  expect(sent[0]?.url).toBe('http://api/api/orders')
  expect(parseOrderRequest(JSON.parse(sent[0]?.body ?? ''))).toMatchObject({ valid: true })
  expect(sent[0]?.headers).toMatchObject({ 'idempotency-key': expect.stringMatching(/^k6-7-3-\d+$/) })
  expect(seedAccounts.slice(0, 10).map(({ token }) => `Bearer ${token}`)).toContain(sent[0]?.headers['authorization'])
  expect(checks).toEqual([true])
  expect(Object.keys(options.thresholds)).toEqual(['http_req_failed', 'http_req_duration'])
  expect(options.scenarios['orders']?.executor).toBe('ramping-arrival-rate')
})

it('the roles read every setting that is offered, and are offered every setting they need', () => {
  const source = readdirSync(`${folder}../src`, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(`${folder}../src/${file}`, 'utf8'))
    .join('\n')
  const offered = [...readFileSync(`${folder}.env.example`, 'utf8').matchAll(/^([A-Z0-9_]+)=/gm)].map(
    ([, name]) => name,
  )
  const needed = [...source.matchAll(/setting\('([A-Z0-9_]+)'\)/g)].map(([, name]) => name)

  for (const name of offered) expect(source).toContain(`'${String(name)}'`)
  expect(offered).toEqual(expect.arrayContaining(needed.filter((name) => name !== 'POSTGRES_DIR')))
})
