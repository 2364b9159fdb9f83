import type { Ending } from './ending.ts'
import type { HttpResponse } from './http.ts'
import type { Settings } from './options.ts'

/** 422: another request under the same key. */
export function keyReused(settings: Settings): Ending {
  const detail = 'Use a new key for a new request, or send the request you sent with this key.'
  return { outcome: 'mismatch', response: settings.problem('key-reused', { detail }) }
}

/** 409 with the time after which the key may be free. */
export function inProgress(settings: Settings, leaseMs: number): Ending {
  const detail = 'The first request is still being worked on. Retry with the same key.'
  return {
    outcome: 'in-progress',
    response: settings.problem('in-progress', { detail, retryAfterSeconds: leaseMs / 1000 }),
  }
}

/** 409: nobody knows what became of the first request, until an operator says so. */
export function indeterminate(settings: Settings): Ending {
  const detail =
    'The first request was interrupted and may or may not have taken effect. Do not use another key; retry later.'
  return { outcome: 'indeterminate', response: settings.problem('indeterminate', { detail, retryAfterSeconds: 60 }) }
}

/** 403: the stored response is not for who asks now. */
export function replayForbidden(settings: Settings): Ending {
  const detail = 'You may no longer see this response.'
  return { outcome: 'refused', response: settings.problem('replay-forbidden', { detail }) }
}

/** 410: it was done, and what was answered is not kept any more. */
export function responseExpired(settings: Settings, status: number): HttpResponse {
  const detail = `The request was completed with status ${String(status)}; it was not run again.`
  return settings.problem('response-expired', { detail })
}

/** 412: the key tells its age, and nobody remembers that far back. */
export function keyExpired(settings: Settings): Ending {
  const detail = 'Its time is too long ago to know whether it was used. Use a new key if you know it was not.'
  return { outcome: 'expired', response: settings.problem('key-expired', { detail }) }
}

/** 429: the tenant has as many keys as it may have. */
export function tooManyKeys(settings: Settings): Ending {
  const detail = `At most ${String(settings.maxKeysPerTenant)} keys may be remembered at a time.`
  return { outcome: 'refused', response: settings.problem('too-many-keys', { detail, retryAfterSeconds: 60 }) }
}

/** 503: the request was undone, and nothing speaks against trying again. */
export function noEffect(settings: Settings): HttpResponse {
  const detail = 'The request could not be carried out now; nothing has happened. Retry with the same key.'
  return settings.problem('no-effect', { detail, retryAfterSeconds: 1 })
}
