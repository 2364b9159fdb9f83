import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type DefaultTheme, defineConfig, type UserConfig } from 'vitepress'
import { anchorOf } from './anchor.ts'
import { searchOptions } from './search.ts'

const docs = fileURLToPath(new URL('..', import.meta.url))
const repository = 'https://github.com/malote/malote/blob/main'

/** Without the API reference, which takes most of the time: for the gate. */
const isGuidesOnly = process.env['MALOTE_DOCS_GUIDES_ONLY'] === '1'

const page = (text: string, file: string): DefaultTheme.SidebarItem => ({ text, link: `/${file}` })

/** The first heading of every page of a folder, in the order of the file names. */
function pagesOf(folder: string): DefaultTheme.SidebarItem[] {
  return readdirSync(join(docs, folder))
    .filter((file) => file.endsWith('.md'))
    .sort()
    .map((file) => {
      const [, heading = file] = /^# (.*)$/m.exec(readFileSync(join(docs, folder, file), 'utf8')) ?? []
      return page(heading.replace(/^\d+ /, ''), `${folder}/${file.replace(/\.md$/, '')}`)
    })
}

const group = (text: string, items: DefaultTheme.SidebarItem[], collapsed = false): DefaultTheme.SidebarItem => ({
  text,
  items,
  collapsed,
})

const sidebar: DefaultTheme.SidebarItem[] = [
  group('Start', [
    page('Why an outbox', 'why-an-outbox'),
    page('Five-minute start', 'start'),
    page('The life of a message', 'lifecycle'),
    page('What is promised', 'guarantees'),
    page('Beside its neighbours', 'comparison'),
    page('Moving here', 'moving-here'),
  ]),
  group('Guides', [
    page('Every database client', 'other-clients'),
    group('Every framework', [
      page('Overview', 'frameworks'),
      page('Express', 'express'),
      page('Fastify', 'fastify'),
      page('Hono', 'hono'),
      page('Nest', 'nest'),
      page('Fetch-style servers', 'fetch-servers'),
      page('AWS Lambda', 'lambda'),
    ]),
    page('One catalog for both ends', 'catalog'),
    page('Ordering', 'ordering'),
    page('Consumers and the inbox', 'inbox'),
    page('HTTP idempotency', 'idempotency'),
    page('Batch requests', 'batch-requests'),
    page('Testing your service', 'testing'),
  ]),
  group('Brokers', [
    page('Choosing a broker', 'brokers'),
    page('Amazon SQS and SNS', 'adapters/sqs'),
    page('RabbitMQ', 'adapters/rabbitmq'),
    page('Kafka', 'adapters/kafka'),
    page('Messages of other producers', 'foreign-messages'),
    page('Writing an adapter', 'writing-an-adapter'),
  ]),
  group('Running it', [
    page('Operations', 'operations'),
    page('Migrations, for DBAs', 'migrations'),
    page('The console', 'console'),
    page('Why was it not sent?', 'why-not-sent'),
    page('What the doctor finds', 'doctor'),
    page('Observability', 'observability'),
    page('Capacity planning', 'capacity'),
    page('Where it runs', 'anywhere'),
    page('Disaster recovery', 'disaster-recovery'),
    page('Security', 'security'),
    page('Errors', 'errors'),
  ]),
  group('In depth', [
    page("The relay's protocol", 'relay-protocol'),
    page('How the protocol is checked', 'model'),
    page('Performance', 'performance'),
    page('Records', 'records'),
    page('Conformance', 'conformance'),
    group('Decisions', pagesOf('decisions'), true),
  ]),
  page('API reference', 'api/'),
]

/** Whatever nobody has given a place yet: no page is without a way to it. */
const placed = new Set(JSON.stringify(sidebar).match(/(?<="link":"\/)[^"]+/g))
const others = pagesOf('.')
  .map(({ text = '', link = '' }) => page(text, link.replace('/./', '')))
  .filter(({ link = '' }) => !placed.has(link.slice(1)) && link !== '/index')
if (others.length > 0) sidebar.splice(-2, 0, group('More', others))

/** A link that leaves the site's folder goes to the repository. */
function linkOutside(href: string, from: string): string {
  if (/^([a-z]+:|#|\/)/.test(href)) return href
  const [path = '', hash] = href.split('#')
  const target = posix.normalize(posix.join(dirname(from), path))
  const anchor = hash === undefined ? '' : `#${hash}`
  if (target === '../docs' || target.startsWith('../docs/'))
    return posix.relative(dirname(from), target.replace(/^\.\.\/docs\/?/, '')) + anchor
  if (target.startsWith('../') || (!target.endsWith('.md') && existsSync(join(docs, target)) && !target.endsWith('/')))
    return `${repository}/${posix.join('docs', target)}${anchor}`
  return href
}

const config: UserConfig<DefaultTheme.Config> = defineConfig({
  title: 'Malote',
  description: 'Transactional outbox and idempotency for PostgreSQL, in TypeScript.',
  base: process.env['MALOTE_DOCS_BASE'] ?? '/',
  cleanUrls: true,
  lastUpdated: false,
  srcExclude: ['snippets/**', 'node_modules/**', 'api-report/**', ...(isGuidesOnly ? ['api/**'] : [])],
  // Links among the guides are checked either way.
  ignoreDeadLinks: isGuidesOnly ? [/^\/?api\//, /\/api\//] : false,
  head: [
    ['meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }],
    ['link', { rel: 'icon', href: 'data:,' }], // Without one a browser asks for a file that is not there.
  ],
  markdown: {
    anchor: { slugify: anchorOf },
    config: (md) => {
      const render = md.renderer.rules.link_open
      md.renderer.rules.link_open = (tokens, index, options, env: { path?: string }, self) => {
        const token = tokens[index]
        const href = token?.attrGet('href')
        if (token !== undefined && typeof href === 'string' && env.path !== undefined)
          token.attrSet('href', linkOutside(href, relative(docs, env.path)))
        return render?.(tokens, index, options, env, self) ?? self.renderToken(tokens, index, options)
      }
    },
  },
  // The search index holds the API reference too.
  vite: { build: { chunkSizeWarningLimit: 5_000 } },
  themeConfig: {
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'Guides', link: '/guarantees' },
      { text: 'API', link: '/api/' },
    ],
    sidebar,
    outline: [2, 3],
    search: {
      provider: 'local',
      options: {
        miniSearch: { searchOptions },
      },
    },
    socialLinks: [{ icon: 'github', link: 'https://github.com/malote/malote' }],
    footer: { message: 'MIT licence. At least once, in order per key, applied once.' },
  },
})

export default config
