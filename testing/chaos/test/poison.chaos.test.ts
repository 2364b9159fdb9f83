import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { startCluster } from '../cluster.ts'
import { createOutbox } from '../library.ts'
import { scaled } from '../../slowness.ts'
import { poisonType } from '../roles/variants.ts'

it.each(['poison-exits', 'poison-exhausts-memory'])(
  'a message that kills its relay (%s) becomes a dead letter, and its neighbours are delivered',
  async (variant) => {
    const flags = ['--variant', variant, '--broker', 'log', '--relays', '2', '--writers', '0', '--consumers', '1']
    const cluster = await startCluster(chaosArguments(flags, () => {}))
    const poison = randomUUID()
    const neighbours = Array.from({ length: 30 }, () => randomUUID())
    try {
      const client = await cluster.pool.connect()
      await client.query('begin')
      const messages = [poison, ...neighbours].map((id, index) => ({
        id,
        topic: 'chaos',
        type: id === poison ? poisonType : 'chaos.happened',
        payload: {},
        // The poison's own key, another key, and no key.
        ...(index % 3 === 2 ? {} : { orderingKey: `key-${String(index % 3)}` }),
      }))
      await createOutbox().addAll(client, messages)
      await client.query('commit')
      client.release()

      const applied = async (): Promise<number> => {
        const { rows } = await cluster.pool.query<{ n: number }>(
          'select count(distinct id)::integer as n from chaos.effects',
        )
        return rows[0]?.n ?? 0
      }
      const dead = async (): Promise<unknown[]> =>
        (await cluster.pool.query('select id, reason from malote.dead_letters')).rows
      const deadlineMs = Date.now() + scaled(90_000)
      while (((await applied()) < neighbours.length || (await dead()).length === 0) && Date.now() < deadlineMs)
        await sleep(200)

      expect(await applied()).toBe(neighbours.length)
      expect(await dead()).toEqual([{ id: poison, reason: 'POISON' }])
    } finally {
      await cluster.close()
    }
  },
)
