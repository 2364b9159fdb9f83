import { expect, it } from 'vitest'
import { createRememberedKeys } from '../src/http/atomic/remembered-keys.ts'

it('a process remembers the latest five thousand keys or more, and forgets the others', () => {
  const keys = createRememberedKeys()
  for (let at = 0; at <= 10_000; at++) keys.add(String(at))
  keys.forget('9000')
  keys.forget('10000')

  expect(['0', '4999', '5000', '9000', '9999', '10000'].map((mark) => keys.has(mark))).toEqual([
    false,
    false,
    true,
    false,
    true,
    false,
  ])
})
