import { expect, it, vi } from 'vitest'
import { whyNoRiver } from './river.ts'

it('a host without Go is told by name, and not measured', () => {
  vi.stubEnv('PATH', '/nowhere')

  expect(whyNoRiver()).toBe('the command `go` is missing')
})
