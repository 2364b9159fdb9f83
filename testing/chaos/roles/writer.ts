import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs } from '../journal.ts'
import { createOutbox } from '../library.ts'
import { createRandom } from '../random.ts'
import { curableKeys, curableTopic, curableType } from './curing-publisher.ts'
import { doomedType, refusedType } from './doom.ts'
import { hungKeys, hungTopic } from './hanging-publisher.ts'
import { startRole } from './role.ts'
import { addVariant } from './variants.ts'

const role = startRole()
const { settings, failpoints } = role
const random = createRandom(settings.seed)
const outbox = createOutbox()
const loops = 3
const pool = role.pool({ max: 2 * loops }) // One each, and one more for the variant that adds beside its transaction.
pool.on('connect', (client) => client.on('error', () => {})) // The statement under way fails with it; between two nobody hears it.
const stopping = new AbortController()

/** One transaction: a place in the key's order under the key's own lock, the ledger's line, the message. Then commit or not. */
async function write(): Promise<void> {
  const client = await pool.connect()
  let isBroken = true
  try {
    await client.query('begin')
    const begunAtMs = nowMs()
    const id = randomUUID()
    const isDoomed = random.next() < 0.005 && !settings.defaults
    const isElsewhere = !isDoomed && random.next() < 0.05
    const isInCurableKey = settings.isCurable && !isDoomed && !isElsewhere && random.next() < 0.1
    const keys = isElsewhere ? hungKeys : isInCurableKey ? curableKeys : settings.keys
    const key = isDoomed || (!isElsewhere && !isInCurableKey && random.next() < 0.2) ? null : random.pick(keys)
    const isIll = isInCurableKey && random.next() < 0.3
    const isRefused = settings.refuses && !isDoomed && !isElsewhere && !isInCurableKey && random.next() < 0.01
    const place = key === null ? 0 : await nextPlace(key)
    // Without a key's lock nobody waits behind it.
    const [isLongBefore, isLongAfter] = [0, 0].map(() => key === null && random.next() < 0.04)
    if (isLongBefore) await sleep(random.between(300, 1_500))
    await client.query(
      'insert into chaos.ledger (id, key, place, doomed, refused, begun_at_ms) values ($1, $2, $3, $4, $5, $6)',
      [id, key, place, isDoomed, isRefused, begunAtMs],
    )
    const message = {
      id,
      topic: isElsewhere ? hungTopic : isInCurableKey ? curableTopic : 'chaos',
      type: isDoomed ? doomedType : isIll ? curableType : isRefused ? refusedType : 'chaos.happened',
      payload: { place },
      ...(key === null ? {} : { orderingKey: key }),
    }
    await addVariant(settings.variant, { tx: client, pool }, (tx) => outbox.add(tx, message))
    if (isLongAfter) await sleep(random.between(300, 1_500))
    else if (random.next() < 0.3) await sleep(random.between(1, 30))
    await failpoints.pass('before-commit')
    await client.query(random.next() < 0.05 ? 'rollback' : 'commit')
    await failpoints.pass('committed')
    isBroken = false
  } finally {
    client.release(isBroken)
  }

  async function nextPlace(key: string): Promise<number> {
    const { rows } = await client.query<{ place: string }>(
      'update chaos.keys set place = place + 1 where key = $1 returning place',
      [key],
    )
    return Number(rows[0]?.place)
  }
}

async function run(): Promise<void> {
  while (!stopping.signal.aborted) {
    // The database is taken down on purpose: what did not commit is not in the ledger either.
    await write().catch(() => sleep(200))
    await sleep(random.between(5, 40))
  }
}

const running = Promise.all(Array.from({ length: loops }, run))
role.serve({
  stop: async () => {
    stopping.abort()
    await running
    await pool.end()
  },
})
