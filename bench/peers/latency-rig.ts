import type pg from 'pg'

/** Adds a message that carries `sentAt` in the open transaction, and says when one arrives. */
export interface LatencyRig {
  add(client: pg.Client, sentAt: number): Promise<unknown>
  start(onArrival: (sentAt: number) => void): Promise<{ stop(): Promise<unknown> }>
}
