import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../src/process/log.ts'

const manager = new AsyncLocalStorageContextManager()
beforeAll(() => {
  context.setGlobalContextManager(manager.enable())
})
afterAll(() => context.disable())

/** What one line says. */
function lineOf(write: (log: ReturnType<typeof createLog>) => void): Record<string, unknown> {
  let line = ''
  write(createLog({ write: (text) => (line += text) }))
  return JSON.parse(line) as Record<string, unknown>
}

describe('a line of the log', () => {
  it('is JSON and names the role, and the trace in which it was written', () => {
    const [traceId, spanId] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']
    const span = trace.wrapSpanContext({ traceId, spanId, traceFlags: 1 })

    const inTrace = lineOf((log) => context.with(trace.setSpan(context.active(), span), () => log.warn('slow')))
    const alone = lineOf((log) => log.warn('slow'))

    expect(inTrace).toMatchObject({ role: 'brokerage', msg: 'slow', traceId, spanId })
    expect(alone).not.toHaveProperty('traceId')
  })

  it('holds nothing that identifies a person or opens a door', () => {
    const secrets = { cpf: '12345678909', password: 'demo-password', authorization: 'Bearer fake-token' }

    const line = JSON.stringify(
      lineOf((log) => log.warn({ ...secrets, account: secrets, headers: secrets }, 'refused')),
    )

    for (const secret of Object.values(secrets)) expect(line).not.toContain(secret)
    expect(line.match(/\[removed\]/g)).toHaveLength(9)
  })
})
