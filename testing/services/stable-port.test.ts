import { randomInt } from 'node:crypto'
import { expect, it } from 'vitest'
import { stablePort } from './stable-port.ts'

it('a port is given to one server only, also before it listens', async () => {
  const from = randomInt(10_000, 19_000) // Other runs on this machine ask for others.

  const ports = await Promise.all(Array.from({ length: 20 }, () => stablePort(from, from + 40)))

  expect(new Set(ports).size).toBe(20)
})
