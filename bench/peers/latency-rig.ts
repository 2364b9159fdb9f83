import type pg from 'pg'

/** Adds a message that carries `sentAt` in the open transaction, and says when one arrives: now, or at an instant of `performance.now()`. */
export interface LatencyRig {
  add(client: pg.Client, sentAt: number): Promise<unknown>
  start(onArrival: (sentAt: number, atMs?: number) => void): Promise<{ stop(): Promise<unknown> }>
}
