import { availableParallelism, loadavg } from 'node:os'

/** How busy the machine of a run was: the kernel's load average over a minute. More than it has cores: processes waited for one. */
export interface Load {
  readonly cores: number
  readonly median: number
  readonly max: number
}

const eachMs = 5_000

/** Looks at the machine until it is asked. */
export function watchLoad(): () => Load {
  const seen: number[] = []
  const look = (): number => seen.push(loadavg()[0] ?? Number.NaN)
  look()
  const timer = setInterval(look, eachMs).unref()
  return () => {
    clearInterval(timer)
    return loadOf(seen)
  }
}

function loadOf(averages: readonly number[]): Load {
  const sorted = averages.toSorted((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  return { cores: availableParallelism(), median, max: sorted.at(-1) ?? Number.NaN }
}
