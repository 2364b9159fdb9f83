import { createConsole, nodeListener } from '@malote/outbox-core/console'
import express, { type Express } from 'express'
import { Hono } from 'hono'
import type { Pool } from 'pg'

// #region hono
/** Whoever your own login knows as an operator; null for everybody else. */
type OperatorOf = (request: Request) => Promise<string | null>

export function consoleInHono(pool: Pool, operatorOf: OperatorOf): Hono {
  const handle = createConsole({
    pool,
    basePath: '/ops/malote',
    access: { authenticate: operatorOf },
    allowActions: true,
  })
  return new Hono().all('/ops/malote', (c) => handle(c.req.raw)).all('/ops/malote/*', (c) => handle(c.req.raw))
}
// #endregion

// #region express
export function consoleInExpress(pool: Pool, token: string): Express {
  const handle = createConsole({ pool, basePath: '/ops/malote', access: { token }, hosts: ['ops.example.com'] })
  return express().use('/ops/malote', nodeListener(handle))
}
// #endregion
