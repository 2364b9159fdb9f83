import type { RequestOutcome } from '../events.ts'
import { type HttpRequest, type HttpResponse, type IdempotentOperation, withLimit } from './http.ts'
import type { KeyRecord, SettledMeeting } from './key-record.ts'
import type { Settings } from './options.ts'
import type { OperationOptions, PreparedRequest } from './prepare.ts'
import type { Ending } from './ending.ts'
import { inProgress } from './refusals.ts'
import { answerKnown } from './replay.ts'
import { monotonicMs } from '../clock.ts'
import { spaceTries } from '../retry.ts'

/**
 * Turns what one request comes to into the answer that is sent, and reports it once.
 *
 * @param run - one request from its bytes to its ending
 * @param outcomeOfThrown - how a request ended whose error is the application's to handle
 */
export function answering<Context>(
  settings: Settings,
  operation: string,
  run: (request: HttpRequest, context: Context) => Promise<Ending>,
  outcomeOfThrown: (error: unknown) => RequestOutcome,
): IdempotentOperation<Context> {
  return withLimit(settings, async (request, context): Promise<HttpResponse> => {
    const startedMs = monotonicMs()
    const report = (outcome: RequestOutcome, error?: unknown): void =>
      settings.report({
        type: 'request',
        operation,
        outcome,
        ms: monotonicMs() - startedMs,
        ...(error === undefined ? {} : { error }),
      })
    try {
      const ending = await run(request, context)
      report(ending.outcome, ending.error)
      return ending.response
    } catch (error) {
      report(outcomeOfThrown(error), error)
      throw error
    }
  })
}

/** Why a request was not run: the key is known, or another request holds it for about `leaseMs` more. */
export type NotRun =
  | { readonly kind: 'known'; readonly record: KeyRecord; readonly meeting: SettledMeeting }
  | { readonly kind: 'busy'; readonly leaseMs?: number }

/**
 * Tries a request until it has an ending. While another one holds its key it waits, up to `waitMs` in all, and holds no
 * connection meanwhile: any number may wait without starving the one they wait for.
 */
export async function untilSettled<Context>(
  settings: Settings,
  options: OperationOptions<Context>,
  waitMs: number,
  request: PreparedRequest,
  context: Context,
  attempt: () => Promise<Ending | NotRun>,
): Promise<Ending> {
  const nextTry = spaceTries({ firstMs: 10, longestMs: 200, totalMs: waitMs })
  for (;;) {
    const result = await attempt()
    if ('outcome' in result) return result
    if (result.kind === 'known' && result.meeting !== 'in-progress')
      return answerKnown(settings, options, request, result.record, result.meeting, context)
    const leaseMs = result.kind === 'known' ? result.record.leaseMs : result.leaseMs
    if (!(await nextTry())) return inProgress(settings, Math.max(0, leaseMs ?? 0))
  }
}
