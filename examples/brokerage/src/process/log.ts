import { trace } from '@opentelemetry/api'
import pino, { type DestinationStream } from 'pino'

/**
 * JSON lines, with the trace they belong to. What identifies a person or opens a door is taken out by name, wherever it stands: at the top, or in
 * an object there.
 */
export function createLog(lines: DestinationStream): pino.Logger {
  return pino(
    {
      level: process.env['LOG_LEVEL'] ?? 'info',
      base: { role: process.env['ROLE'] ?? 'brokerage', pid: process.pid },
      redact: {
        paths: ['cpf', '*.cpf', 'password', '*.password', 'authorization', '*.authorization'],
        censor: '[removed]',
      },
      mixin: () => {
        const span = trace.getActiveSpan()?.spanContext()
        return span === undefined ? {} : { traceId: span.traceId, spanId: span.spanId }
      },
    },
    lines,
  )
}

/** This process's, on stderr. */
export const log: pino.Logger = createLog(pino.destination({ fd: 2, sync: true }))
