import { trace } from '@opentelemetry/api'
import pino from 'pino'

/**
 * JSON lines on stderr, with the trace they belong to. What identifies a person or opens a door is taken out by name,
 * wherever it stands.
 */
export const log: pino.Logger = pino(
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
  pino.destination({ fd: 2, sync: true }),
)
