import { describe, expect, it } from 'vitest'
import { refuseNowAndThen, type Time } from '../brokers/now-and-then.ts'

/** A broker that takes `toldMs` to be told, on a clock that only waiting moves. */
function busyBroker(toldMs: number) {
  let nowMs = 1_000
  let isAsked = false
  const told: string[] = []
  const time: Time = {
    nowMs: () => nowMs,
    sleep: (ms) => {
      nowMs += ms
      return Promise.resolve()
    },
  }
  const tell = async (what: string): Promise<void> => {
    if (isAsked) throw new Error('it is told two things at a time')
    isAsked = true
    await time.sleep(toldMs)
    told.push(what)
    isAsked = false
  }
  const refuse = async (): Promise<() => Promise<void>> => {
    await tell('refuse')
    return () => tell('allow')
  }
  return { time, told, refuse, passedMs: () => nowMs - 1_000 }
}

describe('a destination that is refused now and then', () => {
  it.each([
    ['that is told at once', 0],
    ['that takes as long to be told as to be left alone', 200],
    ['that takes seconds to be told', 5_000],
  ])('is so for 290 seconds, and for no more than one turn longer, with a broker %s', async (_, toldMs) => {
    const { time, refuse, passedMs } = busyBroker(toldMs)

    await refuseNowAndThen(290_000, refuse, time)

    expect(passedMs()).toBeGreaterThanOrEqual(290_000)
    expect(passedMs()).toBeLessThanOrEqual(290_000 + 2 * toldMs)
  })

  it('is refused and allowed in turn, and allowed in the end', async () => {
    const { time, refuse, told } = busyBroker(10)

    await refuseNowAndThen(1_000, refuse, time)

    expect(told).toEqual(['refuse', 'allow', 'refuse', 'allow', 'refuse', 'allow'])
  })

  it('is refused once in an outage that is shorter than a turn', async () => {
    const { time, refuse, told } = busyBroker(1)

    await refuseNowAndThen(0, refuse, time)

    expect(told).toEqual(['refuse', 'allow'])
  })
})
