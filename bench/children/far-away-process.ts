// Run by far-away.ts: passes bytes on, each way this much later and in order. Ends with its parent.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const [port, delayMs] = process.argv.slice(2).map(Number) as [number, number]

interface Late {
  readonly at: number
  readonly run: () => void
}

// Timers of a millisecond come late by up to another one. Looking all the time would be on time, and would take one of the cores
// that the database and its clients are measured on: a sleep of a tenth of a millisecond is neither.
const queue: Late[] = []
const asleep = new Int32Array(new SharedArrayBuffer(4))
function look(): void {
  const now = performance.now()
  while (queue[0] !== undefined && queue[0].at <= now) queue.shift()?.run()
  const [next] = queue
  if (next === undefined) return
  Atomics.wait(asleep, 0, 0, Math.max(0, Math.min(0.1, next.at - now)))
  setImmediate(look)
}
function later(run: () => void): void {
  queue.push({ at: performance.now() + delayMs, run })
  if (queue.length === 1) setImmediate(look)
}

function pass(from: Socket, to: Socket): void {
  from.setNoDelay(true)
  from.on('data', (data) => later(() => to.write(data)))
  from.on('error', () => to.destroy())
  from.on('close', () => later(() => to.destroy()))
}

const server = createServer((client) => {
  const upstream = connect(port, '127.0.0.1')
  pass(client, upstream)
  pass(upstream, client)
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.once('disconnect', () => process.exit(0))
