import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

const files = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/console/console.css', 'console.css', 'text/css; charset=utf-8'],
  ['/console/console.js', 'console.js', 'text/javascript; charset=utf-8'],
  ['/console/view.js', 'view.js', 'text/javascript; charset=utf-8'],
] as const

/** The console: a page, its style and its code, served as they are. It uses nothing but this API. */
export function consoleRoutes(app: FastifyInstance): void {
  for (const [path, file, type] of files) {
    const content = readFileSync(new URL(`../console/${file}`, import.meta.url))
    app.get(path, { config: { permission: null }, schema: { hide: true } }, (_request, reply) =>
      reply
        .header(
          'content-security-policy',
          "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
        )
        .type(type)
        .send(content),
    )
  }
}
