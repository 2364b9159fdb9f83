import { after } from '../clock.ts'

/** Time for asking about a mere doubt: a handler that hangs may hold the last connection, and whoever waits gets an answer all the same. */
const doubtMs = 5_000

/** @throws an error when the work has not settled in time: it goes on, and does what it can */
export async function inTime<Result>(work: Promise<Result>): Promise<Result> {
  const tooLate = Promise.withResolvers<never>()
  const end = after(doubtMs, () => tooLate.reject(new Error('the database was asked, and has not answered in time')))
  work.catch(() => {})
  return Promise.race([work, tooLate.promise]).finally(end)
}
