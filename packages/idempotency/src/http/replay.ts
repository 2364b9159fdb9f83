import { rowIdentity } from './body-cipher.ts'
import type { RequestOutcome } from '../events.ts'
import type { HttpResponse } from './http.ts'
import type { Settings } from './options.ts'
import type { KeyRecord, SettledMeeting } from './key-record.ts'
import type { OperationOptions, PreparedRequest, ReplayedRecord } from './prepare.ts'

/** How a request ended, and what is sent. */
export interface Ending {
  readonly outcome: RequestOutcome
  readonly response: HttpResponse
  /** Why, when something failed that the response does not tell about. */
  readonly error?: unknown
}

/** Answers a request whose key is known, without running its handler. */
export async function answerKnown<Context>(
  settings: Settings,
  options: OperationOptions<Context>,
  request: PreparedRequest,
  record: KeyRecord,
  meeting: SettledMeeting,
  context: Context,
): Promise<Ending> {
  if (meeting === 'replay' || meeting === 'gone') return replay(settings, options, request, record, meeting, context)
  if (meeting === 'in-progress') return inProgress(settings, record.leaseMs ?? 0)
  if (meeting === 'mismatch') {
    const detail = 'Use a new key for a new request, or send the request you sent with this key.'
    return { outcome: 'mismatch', response: settings.problem('key-reused', { detail }) }
  }
  const detail =
    'The first request was interrupted and may or may not have taken effect. Do not use another key; retry later.'
  return { outcome: 'indeterminate', response: settings.problem('indeterminate', { detail, retryAfterSeconds: 60 }) }
}

/** 409 with the time after which the key may be free. */
export function inProgress(settings: Settings, leaseMs: number): Ending {
  const detail = 'The first request is still being worked on. Retry with the same key.'
  return {
    outcome: 'in-progress',
    response: settings.problem('in-progress', { detail, retryAfterSeconds: leaseMs / 1000 }),
  }
}

/** 503: the request was undone, and nothing speaks against trying again. */
export function noEffect(settings: Settings): HttpResponse {
  const detail = 'The request could not be carried out now; nothing has happened. Retry with the same key.'
  return settings.problem('no-effect', { detail, retryAfterSeconds: 1 })
}

/** 412: the key tells its age, and nobody remembers that far back. */
export function keyExpired(settings: Settings): Ending {
  const detail = 'Its time is too long ago to know whether it was used. Use a new key if you know it was not.'
  return { outcome: 'expired', response: settings.problem('key-expired', { detail }) }
}

async function replay<Context>(
  settings: Settings,
  options: OperationOptions<Context>,
  request: PreparedRequest,
  record: KeyRecord,
  meeting: 'gone' | 'replay',
  context: Context,
): Promise<Ending> {
  const seen: ReplayedRecord = {
    operation: record.operation,
    status: record.status as number,
    resourceRef: record.resourceRef,
    completedAt: record.completedAt as Date,
  }
  if (options.authorizeReplay !== undefined && !(await options.authorizeReplay(context, seen))) {
    return {
      outcome: 'refused',
      response: settings.problem('replay-forbidden', { detail: 'You may no longer see this response.' }),
    }
  }
  const known =
    meeting === 'replay'
      ? stored(settings, request, record)
      : await withoutBody(settings, options, record, seen, context)
  const response = (await options.onReplay?.(context, known, seen)) ?? known
  return {
    outcome: 'replayed',
    response: { ...response, headers: { ...response.headers, [settings.replayHeader]: 'true' } },
  }
}

function stored(settings: Settings, request: PreparedRequest, record: KeyRecord): HttpResponse {
  const boundTo = rowIdentity(request.tenant, record.keyHash)
  const body = record.body === null ? null : settings.cipher.open(record.body, record.encryptionKeyId, boundTo)
  return { status: record.status as number, headers: record.headers, body }
}

async function withoutBody<Context>(
  settings: Settings,
  options: OperationOptions<Context>,
  record: KeyRecord,
  seen: ReplayedRecord,
  context: Context,
): Promise<HttpResponse> {
  if (options.rehydrate !== undefined) return options.rehydrate(context, seen)
  const gone = settings.problem('response-expired', {
    detail: `The request was completed with status ${String(seen.status)}; it was not run again.`,
  })
  const location = record.headers['location']
  return location === undefined ? gone : { ...gone, headers: { ...gone.headers, location } }
}
