import { describe, expect, it } from 'vitest'
import { type ConsoleOptions, createConsole } from '../../src/console/index.ts'

const origin = 'http://127.0.0.1:9465'

/** Its database is away, which the page itself does not need. */
function open(options: Partial<ConsoleOptions> = {}) {
  const pool = { connect: () => Promise.reject(new Error('no database')) }
  const handle = createConsole({ pool, access: 'loopback', ...options })
  const ask = async (path: string) => {
    const response = await handle(new Request(`${origin}${path}`))
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  return { ask }
}

describe('the page', () => {
  it('comes with a policy that lets nothing but its own files run, and asks nothing of anyone else', async () => {
    const { ask } = open()

    const page = await ask('/')

    expect(page.status).toBe(200)
    expect(page.headers.get('content-security-policy')).toContain(`default-src 'none'; script-src 'self'`)
    expect(page.headers.get('content-security-policy')).not.toContain('unsafe')
    expect(page.headers.get('cache-control')).toBe('no-store')
    const files = [...page.text.matchAll(/(?:src|href)="([^"#][^"]*)"/g)].map(([, file]) => String(file))
    for (const file of files) {
      expect(file).toMatch(/^[\w.-]+$/)
      expect((await ask(`/${file}`)).status).toBe(200)
    }
    expect(page.text).not.toMatch(/<script(?![^>]* src=)|\sstyle=|\son\w+=/)
    expect((await ask('/../package.json')).status).toBe(404)
  })

  it('stands under any path, and without its slash leads to it', async () => {
    const { ask } = open({ basePath: '/ops/malote' })

    expect((await ask('/ops/malote/')).text).toContain('<title>')
    expect(new URL((await ask('/ops/malote')).headers.get('location') ?? '', `${origin}/ops/malote`).pathname).toBe(
      '/ops/malote/',
    )
    expect((await ask('/ops/malote/api/view')).status).toBe(503) // It is there, and its database is away.
    expect((await ask('/api/view')).status).toBe(404)
    expect(() => open({ basePath: 'no slash' })).toThrow(/basePath/)
  })
})
