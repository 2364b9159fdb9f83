import { rowIdentity } from './body-cipher.ts'
import type { HttpResponse } from './http.ts'
import type { Settings } from './options.ts'
import type { StoredResponse } from './key-record.ts'
import { pickHeaders, storedHeaderNames } from './response.ts'
import type { KeyName } from './lease/stores/lease-store.ts'

/** Turns a response into what is stored of it: allowed headers, and the body unless it is too large, sealed. */
export type ResponseSealer = (key: KeyName, response: HttpResponse, resourceRef: string | undefined) => StoredResponse

/** @throws IdempotencyError `INVALID_OPTION` for a header that must not be stored */
export function createResponseSealer(settings: Settings): ResponseSealer {
  const headerNames = storedHeaderNames(settings.moreStoredHeaders)
  return ({ tenant, keyHash }, response, resourceRef) => {
    const bodyKept = (response.body?.length ?? 0) <= settings.maxStoredBodyBytes
    const body =
      bodyKept && response.body !== null ? settings.cipher.seal(response.body, rowIdentity(tenant, keyHash)) : null
    return {
      status: response.status,
      headers: pickHeaders(response.headers, headerNames),
      body,
      bodyKept,
      encryptionKeyId: body === null ? null : settings.cipher.keyId,
      resourceRef: resourceRef ?? null,
    }
  }
}
