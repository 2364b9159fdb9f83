import type { RequestOutcome } from '../events.ts'
import type { HttpResponse } from './http.ts'

/** How a request ended, and what is sent. */
export interface Ending {
  readonly outcome: RequestOutcome
  readonly response: HttpResponse
  /** Why, when something failed that the response does not tell about. */
  readonly error?: unknown
}
