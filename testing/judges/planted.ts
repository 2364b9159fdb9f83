// `npm run judges -- --planted`: plants one fault after the other in a copy of the repository, and sees its judge say no: by the case and in the
// words that belong to it. First each judge is asked about the copy as it is.
import { rmSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { copyOfRepository, type Ended, runInCopy, withPatch } from '../mutants/copy.ts'
import { promises } from '../mutants/mutant.ts'
import { answerOf, isRefusal, objectionOf } from './answer.ts'
import { judgeFiles, type JudgeName, plantedForJudges } from './planted-faults.ts'

/** For one judge and the cases that are asked of it. */
const timeLimitMs = 900_000

const { values } = parseArgs({ options: { planted: { type: 'boolean' }, only: { type: 'string', default: '' } } })
const chosen = plantedForJudges
  .flatMap((fault) => fault.judges.map((judge) => ({ fault, judge })))
  .filter(({ fault, judge }) => `${fault.name}|${judge}`.includes(values.only))

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => interrupted.abort(new Error(`ended by ${signal}`)))

process.exitCode = (await judgeAll()) ? 0 : 1

/** @returns whether each judge holds the code as it is for right, and refuses each fault */
async function judgeAll(): Promise<boolean> {
  const copy = copyOfRepository()
  try {
    let refused = 0
    let notRun = 0
    for (const [judge, plants] of Map.groupBy(chosen, (one) => one.judge)) {
      const cases = plants.flatMap(({ fault }) => fault.case ?? [])
      const sound = answerOf(await ask(copy, judge, cases))
      if (sound.kind !== 'holds') {
        if (sound.kind === 'not-run') notRun += plants.length
        console.log(`${sound.kind === 'not-run' ? 'NOT RUN' : 'WRONG  '} ${judge}, nothing planted: ${sound.words}`)
        continue
      }
      console.log(`ok      ${judge}, nothing planted: ${sound.words}`)
      for (const { fault } of plants) {
        const answer = answerOf(
          await withPatch(copy, fault, () => ask(copy, judge, fault.case === undefined ? [] : [fault.case])),
        )
        const isRight = isRefusal(answer, fault)
        if (isRight) refused++
        console.log(`${isRight ? 'refused' : 'WRONG  '} ${fault.name} (${promises[fault.promise]}), by ${judge}`)
        console.log(
          isRight ? `        ${objectionOf(answer, fault)}` : `        ${answer.kind}: ${answer.words.slice(-2_000)}`,
        )
      }
    }
    console.log(`${String(refused)} of ${String(chosen.length)} refused, ${String(notRun)} not run`)
    return refused + (process.env['CI'] === 'true' ? 0 : notRun) === chosen.length
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/**
 * @param cases - of the kits
 * @throws Error when this is ended: what a judge said that was killed with it says nothing
 */
async function ask(copy: string, judge: JudgeName, cases: readonly string[]): Promise<Ended> {
  interrupted.signal.throwIfAborted()
  const file = `testing/judges/${judgeFiles[judge]}.ts`
  const env = {
    // The same requests of Schemathesis each time.
    MALOTE_JUDGE_SEED: '1',
    ...process.env,
    MALOTE_JUDGE_ONLY: judge,
    MALOTE_JUDGE_CASES: cases.map((one) => one.replaceAll(/[()[\].*+?^$|\\]/g, String.raw`\$&`)).join('|'),
  }
  const ended = await runInCopy(copy, [process.execPath, '--conditions=@malote/source', file], {
    env,
    timeLimitMs,
    stop: interrupted.signal,
  })
  interrupted.signal.throwIfAborted()
  return ended
}
