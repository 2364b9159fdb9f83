import { systemClock } from '../clock.ts'
import { OutboxError } from '../errors.ts'
import { explainReplay } from '../explain-replay.ts'
import type { MigrateIdempotency } from '../doctor.ts'
import { guardPool } from '../postgres/guard-pool.ts'
import { schemaOption } from '../postgres/identifiers.ts'
import type { MigrationPool } from '../postgres/migrate.ts'
import { isRefused } from '../postgres/queryable.ts'
import { invalidOption } from '../options.ts'
import { actions, decisionIn, idsIn } from './actions.ts'
import { answer, json, refuse } from './answers.ts'
import { readBody } from './body.ts'
import { type ConsoleAccess, createGuard, type Purpose, type Visitor } from './guard.ts'
import { createLook, onOneClient } from './look.ts'
import { readPage } from './page.ts'

/** What a console shows, who may see it, and whether decisions can be made on it. Without `allowActions` nothing can be changed. */
export interface ConsoleOptions {
  /** A `pg` pool. One connection of it is used at a time to look, and one more for each decision. */
  readonly pool: MigrationPool
  /** Who may look. It has no default: whoever mounts the console must have thought about it. */
  readonly access: ConsoleAccess
  /**
   * Offer decisions: replay, discard, hold, release, pause, resume. The role of the pool then needs what
   * `malote grants --for operator` gives.
   *
   * @defaultValue false: nothing can be changed
   */
  readonly allowActions?: boolean
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** Path it is mounted at, as its requests' URLs show it, for example `/ops/malote`. @defaultValue "": at the root */
  readonly basePath?: string
  /**
   * Host names it answers to, with or without a port.
   *
   * @defaultValue names of loopback where `access` is 'loopback'; otherwise any, for there the token or your login keeps others out
   */
  readonly hosts?: readonly string[]
  /** `migrateIdempotency` of @malote/idempotency, where the doctor is to look at its tables as well. */
  readonly migrateIdempotency?: MigrateIdempotency
}

/** Answers the requests of one console. Never rejects. */
export type Console = (request: Request) => Promise<Response>

/**
 * A page for whoever is called at night: what is wrong, since when, what mends it, and the decisions beside it. Mount it in an
 * application that speaks `fetch`, under a path of its own; `malote console` serves the same page.
 *
 * It looks only while somebody looks, on one connection at a time however many do, and rests nine times as long as a look took.
 * It shows no message's body. Each decision asks who and why, which the audit keeps.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createConsole(options: ConsoleOptions): Console {
  const { pool, access, hosts, allowActions = false, migrateIdempotency } = options
  const schema = schemaOption(options.schema)
  const basePath = basePathOption(options.basePath)
  const guard = createGuard(access, hosts)
  const page = readPage()
  guardPool(pool)
  const purpose = allowActions ? 'operator' : 'reader'
  const look = createLook({ pool, schema, purpose, clock: systemClock, migrateIdempotency })

  const act = async (request: Request, action: string, { operator }: Visitor): Promise<Response> => {
    const run = Object.hasOwn(actions, action) ? actions[action] : undefined
    if (run === undefined) return refuse({ status: 404, code: 'NOT_FOUND', detail: 'there is no such decision' })
    if (!allowActions)
      return refuse({
        status: 403,
        code: 'READ_ONLY',
        detail: 'this console only shows: start it with --allow-actions, or `allowActions: true`',
      })
    const body = await readBody(request)
    const decision = decisionIn(body, operator)
    const outcome = await onOneClient(pool, (db) => run({ db, schema, body, decision }))
    look.forget()
    return 'detail' in outcome ? refuse(outcome) : json(outcome)
  }
  const ask = async (request: Request, path: string, visitor: Visitor): Promise<Response> => {
    if (path === 'api/view') return json({ schema, allowActions, operator: visitor.operator, ...(await look.get()) })
    if (path !== 'api/explain') return notFound()
    const deadLetterIds = idsIn({ deadLetterIds: new URL(request.url).searchParams.getAll('id') })
    return json({ explained: await onOneClient(pool, (db) => explainReplay({ db, schema }, deadLetterIds)) })
  }
  const serve = async (request: Request): Promise<Response> => {
    const path = pathOf(request, basePath)
    if (path === null) return notFound()
    const isAction = path.startsWith('api/actions/')
    const isApi = path.startsWith('api/')
    const purpose: Purpose = isAction ? 'act' : isApi ? 'look' : 'file'
    const admission = await guard.admit(request, purpose)
    if ('refusal' in admission) return refuse(admission.refusal)
    if (request.method !== (isAction ? 'POST' : 'GET'))
      return refuse({ status: 405, code: 'METHOD_REFUSED', detail: `only ${isAction ? 'POST' : 'GET'}` })
    if (isAction) return act(request, path.slice('api/actions/'.length), admission.visitor)
    if (isApi) return ask(request, path, admission.visitor)
    // Without the slash the page's relative addresses would lead beside it.
    if (path === '' && !new URL(request.url).pathname.endsWith('/'))
      return answer(308, 'text/plain', null, { location: `${basePath.split('/').at(-1) ?? ''}/` })
    const file = page.get(path === '' ? 'index.html' : path)
    return file === undefined ? notFound() : answer(200, file.type, file.content)
  }
  return (request) => serve(request).catch(failure)
}

const notFound = (): Response => refuse({ status: 404, code: 'NOT_FOUND', detail: 'there is nothing here' })

/** The words of the database are for operators, who are let in by now; they hold no bodies. */
function failure(error: unknown): Response {
  const detail = error instanceof Error ? error.message || error.name : String(error)
  if (error instanceof OutboxError) {
    const isWrong = error.code === 'INVALID_OPTION' || error.code === 'INVALID_MESSAGE'
    return refuse({ status: error.code === 'NOT_FOUND' ? 404 : isWrong ? 400 : 500, code: error.code, detail })
  }
  if (isRefused(error)) return refuse({ status: 400, code: 'REFUSED', detail })
  return refuse({ status: 503, code: 'DATABASE', detail })
}

/** Below the base path, without the slash; null when it is not there. */
function pathOf(request: Request, basePath: string): string | null {
  const { pathname } = new URL(request.url)
  if (pathname === basePath) return ''
  return pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length + 1) : null
}

function basePathOption(given = ''): string {
  const path = given.replace(/\/+$/, '')
  if (path !== '' && !/^(\/[\w.~-]+)+$/.test(path)) throw invalidOption('basePath', given, 'a path such as /ops/malote')
  return path
}
