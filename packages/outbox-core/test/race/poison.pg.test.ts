import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createSettles } from '../../src/postgres/settles.ts'
import { createTrial, type Trial } from '../../src/relay/trial.ts'
import { createRelayBench, type RelayBench } from '../relay-bench.ts'
import { createSteppedRelay, insert, type SteppedRelay } from './stepped-relay.ts'

let bench: RelayBench
const stepped: SteppedRelay[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  for (const relay of stepped.splice(0)) relay.connections.destroy()
  await bench.reset()
})
afterAll(() => bench.database.drop())

/** A relay that has read all messages, and its trial. */
async function setup(): Promise<{ relay: SteppedRelay; trial: Trial; losses: string[] }> {
  const relay = await createSteppedRelay(bench.as.relay)
  stepped.push(relay)
  await relay.reader.read()
  const losses: string[] = []
  const trial = createTrial({
    writes: createSettles(relay.connections.settler, { schema: 'malote', relayId: relay.relayId, isDurable: false }),
    settler: relay.settler,
    onLost: (reason) => losses.push(reason),
  })
  return { relay, trial, losses }
}

const expire = (relay: SteppedRelay): Promise<unknown> =>
  bench.pool.query(`update malote.relays set lease_until = clock_timestamp() - interval '1 s' where id = $1`, [
    relay.relayId,
  ])
/** The relay dies, and another takes its lanes. */
async function succeed(relay: SteppedRelay): Promise<Awaited<ReturnType<typeof setup>>> {
  await expire(relay)
  const reaper = await createSteppedRelay(bench.as.relay, { acquire: 0 })
  stepped.push(reaper)
  expect(await reaper.membership.reap()).toBe(1)
  await reaper.membership.leave()
  return setup()
}
const attempts = async (): Promise<unknown[]> =>
  (
    await bench.pool.query(
      `select payload, attempts, available_at, failures -> -1 ->> 'code' as code from malote.messages order by seq`,
    )
  ).rows
const ready = (payload: string, paid: number, code: string | null): object => ({
  payload,
  attempts: paid,
  available_at: null,
  code,
})

describe('the death of a relay', () => {
  it('charges the message that it published alone, and no other', async () => {
    await insert(bench.pool, '1', 'k')
    await insert(bench.pool, '2', 'k')
    const { relay, trial } = await setup()
    await trial.begin(relay.backlog.take(1))

    const { relay: successor } = await succeed(relay)

    expect(await attempts()).toEqual([ready('1', 1, 'RELAY_DIED'), ready('2', 0, null)])
    const [first, second] = successor.backlog.take(1).concat(successor.backlog.take(1))
    expect([first?.maxTogether, first?.diedAlone, first?.message.attempt, second]).toEqual([1, true, 2, undefined])
  })

  it('leaves a group that it had named under suspicion, in smaller groups and without a charge', async () => {
    for (let n = 1; n <= 20; n++) await insert(bench.pool, String(n), 'k')
    const { relay, trial } = await setup()
    await trial.begin(relay.backlog.take(16))

    const { relay: successor } = await succeed(relay)

    expect((await attempts()).slice(15, 17)).toEqual([ready('16', 0, 'RELAY_DIED'), ready('17', 0, null)])
    const groups = [successor.backlog.take(100), successor.backlog.take(100)]
    expect(groups.map((group) => group.length)).toEqual([2, 0])
    expect(groups[0]).toMatchObject([{ maxTogether: 2, diedAlone: false }, { maxTogether: 2 }])
  })

  it('is none when the server was restarted, which takes the sessions of all relays', async () => {
    await insert(bench.pool, '1', 'k')
    const { relay, trial } = await setup()
    await trial.begin(relay.backlog.take(1))
    const beforeTheServer = `update malote.relays set started_at = pg_postmaster_start_time() - interval '1 s'`
    await bench.pool.query(beforeTheServer)

    await succeed(relay)

    expect(await attempts()).toEqual([ready('1', 0, null)])
    const { rows } = await bench.pool.query('select max(crashes) as crashes from malote.lanes')
    expect(rows).toEqual([{ crashes: 0 }])
  })

  it('charges nothing once the message is settled or the trial is over', async () => {
    await insert(bench.pool, '1')
    const { relay, trial } = await setup()
    await trial.begin(relay.backlog.take(1))
    await trial.end()

    await succeed(relay)

    expect(await attempts()).toEqual([ready('1', 0, null)])
  })

  it('makes what it left behind suspect when it is the second in a row, and nothing that comes later', async () => {
    await insert(bench.pool, '1')
    const { relay: first } = await setup()
    const { relay: second } = await succeed(first)
    expect(second.backlog.take(1)).toMatchObject([{ maxTogether: Number.POSITIVE_INFINITY }])

    const { relay: third } = await succeed(second)
    await insert(bench.pool, '2', 'k')
    await third.reader.read()

    const taken = [...third.backlog.take(1), ...third.backlog.take(1)]
    expect(taken.map(({ message, maxTogether }) => [message.body, maxTogether])).toEqual([
      ['1', 64],
      ['2', Number.POSITIVE_INFINITY],
    ])
  })

  it('is forgotten in the lanes that are calm, unless somebody else has them by now', async () => {
    const { relay: first } = await setup()
    const { relay: second } = await succeed(first)
    const crashes = async (): Promise<unknown[]> =>
      (await bench.pool.query('select crashes, count(*)::integer as lanes from malote.lanes group by 1 order by 1'))
        .rows
    expect(await crashes()).toEqual([{ crashes: 1, lanes: 64 }])

    await second.membership.calm(second.lanes.all().slice(0, 10))
    expect(await crashes()).toEqual([
      { crashes: 0, lanes: 10 },
      { crashes: 1, lanes: 54 },
    ])
    const lanes = second.lanes.all()
    await succeed(second)
    await second.membership.calm(lanes)

    expect(await crashes()).toEqual([
      { crashes: 1, lanes: 10 },
      { crashes: 2, lanes: 54 },
    ])
  })
})

describe('a relay that stops', () => {
  it('charges nobody and leaves no suspicion', async () => {
    await insert(bench.pool, '1')
    const { relay, trial } = await setup()
    await trial.begin(relay.backlog.take(1))
    await relay.membership.leave()

    expect(await attempts()).toEqual([ready('1', 0, null)])
    const { rows } = await bench.pool.query('select max(crashes) as crashes from malote.lanes')
    expect(rows).toEqual([{ crashes: 0 }])
  })

  it('publishes nothing alone after its lease', async () => {
    await insert(bench.pool, '1')
    const { relay, trial, losses } = await setup()
    await expire(relay)

    expect(await trial.begin(relay.backlog.take(1))).toBe(false)
    expect(losses).toEqual(['lease-expired'])
  })
})
