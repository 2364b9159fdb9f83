import { rowIdentity } from './body-cipher.ts'
import type { Ending } from './ending.ts'
import type { HttpResponse } from './http.ts'
import type { Settings } from './options.ts'
import type { KeyRecord, SettledMeeting } from './key-record.ts'
import type { OperationOptions, PreparedRequest, ReplayedRecord } from './prepare.ts'
import { indeterminate, inProgress, keyReused, replayForbidden, responseExpired } from './refusals.ts'

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
  return meeting === 'mismatch' ? keyReused(settings) : indeterminate(settings)
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
  if (options.authorizeReplay !== undefined && !(await options.authorizeReplay(context, seen)))
    return replayForbidden(settings)
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
  const gone = responseExpired(settings, seen.status)
  const location = record.headers['location']
  return location === undefined ? gone : { ...gone, headers: { ...gone.headers, location } }
}
