import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ServerResponse } from 'node:http'

/** Server-sent events of one kind, for any number of watchers. */
export interface Stream {
  add(request: FastifyRequest, reply: FastifyReply): FastifyReply
  close(): void
}

/** More than this waiting for a watcher who does not read: it is cut off and may come again. */
const maxBufferedBytes = 1_048_576

/**
 * Looks again every `everyMs` while somebody watches, and tells all of them what it saw. A look that fails is left out: the
 * watcher sees by the time of the last event that nothing new came.
 */
export function streamOf(event: string, look: () => Promise<unknown>, everyMs: number): Stream {
  const watchers = new Set<ServerResponse>()
  let timer: NodeJS.Timeout | null = null

  async function tell(): Promise<void> {
    const text = await look().then(
      (seen) => `event: ${event}\ndata: ${JSON.stringify(seen)}\n\n`,
      () => ': nothing to be seen\n\n',
    )
    for (const watcher of watchers)
      if (watcher.writableLength > maxBufferedBytes) watcher.destroy()
      else watcher.write(text)
    // The next look begins when this one has ended: a slow database is not asked twice at once.
    timer = watchers.size === 0 ? null : setTimeout(() => void tell(), everyMs)
  }

  return {
    add: (request, reply) => {
      reply.hijack()
      const { raw } = reply
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-correlation-id': request.id,
        connection: 'keep-alive',
      })
      // The watcher knows that it is connected, however long the first look takes.
      raw.flushHeaders()
      watchers.add(raw)
      raw.on('close', () => watchers.delete(raw))
      raw.on('error', () => watchers.delete(raw))
      timer ??= setTimeout(() => void tell(), 0)
      return reply
    },
    close: () => {
      if (timer !== null) clearTimeout(timer)
      for (const watcher of watchers) watcher.end()
    },
  }
}
