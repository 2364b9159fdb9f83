import { expect, it } from 'vitest'
import { createRememberedKeys } from '../src/http/atomic/remembered-keys.ts'

it('a process remembers the latest keys, and forgets the others', () => {
  const keys = createRememberedKeys()
  for (let at = 0; at <= 10_000; at++) keys.add(String(at))
  keys.forget('7')

  expect(['0', '1', '7', '10000'].map((mark) => keys.has(mark))).toEqual([false, true, false, true])
})
