/**
 * Lets only so many calls be under way. The others wait and begin in the order they came, each when one of those before it has ended.
 *
 * @param limit - calls under way at the same time, at least one
 */
export function createTurns(limit: number): <Result>(call: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = []
  let underWay = 0
  return async (call) => {
    if (underWay === limit) await new Promise<void>((begin) => waiting.push(begin))
    else underWay++
    try {
      return await call()
    } finally {
      // Handed on, not given back: whoever comes now would overtake those who wait.
      const next = waiting.shift()
      if (next === undefined) underWay--
      else next()
    }
  }
}
