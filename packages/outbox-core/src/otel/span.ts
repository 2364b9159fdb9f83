import { context, type Context, type Span, SpanStatusCode, trace } from '@opentelemetry/api'
import { quietly } from './quietly.ts'
import { attribute } from './semantic-conventions.ts'

/** Why a span has failed. Nothing that was thrown is quoted: an application's error may hold what its message held. */
export interface SpanFailure {
  readonly errorType: string
  readonly message?: string
}

export interface SpanWork<Result> {
  /** The context the span becomes part of while `run` runs. */
  readonly base: Context
  readonly start: () => Span
  /** Given null when no span could be started. Runs once, whatever telemetry does. */
  readonly run: (span: Span | null) => Promise<Result>
  /** What a result means for the span; null when all is well. @defaultValue always null */
  readonly failureOf?: (result: Result) => SpanFailure | null
}

/** Runs the work as the active span, which ends with it. The work's outcome is passed on as it is, failure of telemetry or not. */
export async function inSpan<Result>({ base, start, run, failureOf }: SpanWork<Result>): Promise<Result> {
  const span = quietly<Span | null>(start, null)
  if (span === null) return run(null)
  try {
    const result = await context.with(trace.setSpan(base, span), () => run(span))
    end(span, () => failureOf?.(result) ?? null)
    return result
  } catch (error) {
    end(span, () => ({ errorType: errorTypeOf(error) }))
    throw error
  }
}

function end(span: Span, failureOf: () => SpanFailure | null): void {
  quietly(() => {
    const failure = failureOf()
    if (failure === null) return
    span.setAttribute(attribute.errorType, failure.errorType)
    span.setStatus({
      code: SpanStatusCode.ERROR,
      ...(failure.message === undefined ? {} : { message: failure.message }),
    })
  }, undefined)
  quietly(() => span.end(), undefined)
}

/** The error's code (`UNDECODABLE_MESSAGE`, `40001`, `ECONNRESET`), else the name of its class. */
export function errorTypeOf(error: unknown): string {
  if (!(error instanceof Error)) return '_OTHER'
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && code !== '' ? code : error.name
}
