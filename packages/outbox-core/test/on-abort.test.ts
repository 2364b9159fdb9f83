import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { onAbort } from '../src/adapter/on-abort.ts'

describe('waiting for an abort', () => {
  it('calls back everybody who still waits, once', () => {
    const stopping = new AbortController()
    const called: string[] = []
    onAbort(stopping.signal, () => called.push('first'))
    const forget = onAbort(stopping.signal, () => called.push('second'))
    onAbort(stopping.signal, () => called.push('third'))

    forget()
    stopping.abort()
    stopping.abort()

    expect(called).toEqual(['first', 'third'])
  })

  it('lets one of two callers who gave the same function go alone', () => {
    const stopping = new AbortController()
    let calls = 0
    const call = (): void => void calls++
    onAbort(stopping.signal, call)

    onAbort(stopping.signal, call)()
    stopping.abort()

    expect(calls).toBe(1)
  })

  it('has one listener however many come and go', () => {
    const stopping = new AbortController()

    for (let n = 0; n < 1_000; n++) onAbort(stopping.signal, () => {})()

    expect(getEventListeners(stopping.signal, 'abort')).toHaveLength(1)
  })
})
