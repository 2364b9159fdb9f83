import type { FastifyInstance, RouteHandlerMethod } from 'fastify'
import { sendProblem } from './problem.ts'

/**
 * Lets `app.close()` refuse what is new, finish what runs, and only then cut connections off. Whoever has closed the app may end the
 * database's pool: no handler uses it any more, not even one whose client has hung up.
 *
 * A request that arrives meanwhile is answered 503 `STOPPING` with `Retry-After`. Call it before routes are added; the
 * app must leave such requests to it (`return503OnClosing: false`).
 *
 * @param graceMs - longest time that `app.close()` waits for what runs; then it is cut off. Below ten seconds, which is all that Fastify gives a hook
 * @returns a hook that waits, to be added as the last `preClose`: what else holds connections is told to end before
 */
export function finishBeforeClosing(app: FastifyInstance, graceMs: number): () => Promise<void> {
  let isStopping = false
  /** Answers that are not sent yet, and handlers that have not ended: a client may hang up long before its handler ends. */
  let running = 0
  let onIdle = (): void => {}
  const end = (): void => {
    running--
    if (running === 0) onIdle()
  }

  app.addHook('preClose', async () => {
    isStopping = true
  })
  app.addHook('onRequest', (_request, reply, done) => {
    if (isStopping) {
      sendProblem(reply, 'STOPPING')
      return
    }
    running++
    let isOver = false
    const over = (): void => {
      if (!isOver) end()
      isOver = true
    }
    reply.raw.once('finish', over).once('close', over)
    done()
  })
  app.addHook('onRoute', (route) => {
    const handler = route.handler as (...given: Parameters<RouteHandlerMethod>) => unknown
    route.handler = async function counted(request, reply) {
      running++
      try {
        return await handler.call(this, request, reply)
      } finally {
        end()
      }
    }
  })
  return async () => {
    if (running === 0) return
    const idle = new Promise<void>((resolve) => (onIdle = resolve))
    let timer: NodeJS.Timeout | undefined
    const timeUp = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)))
    await Promise.race([idle, timeUp])
    clearTimeout(timer)
    if (running > 0) app.log.warn({ running }, 'what ran was cut off: it took too long to end')
  }
}
