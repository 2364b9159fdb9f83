import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('http/atomic/atomic.ts', 'atomic.pg.test.ts', [
    [
      'a refused request runs again for its answer to be stored',
      'once',
      'undone ?? (await runHandler(open, begin(), context))',
      'await runHandler(open, begin(), context)',
    ],
    [
      'a refused request keeps its effects on a client without a savepoint',
      'once',
      'return failed(hasKey ?',
      'return hasKey ? result : failed(hasKey ?',
    ],
  ]),
  ...of('http/atomic/atomic.ts', 'replay-end.pg.test.ts', [
    [
      'who has no record is answered while its locks are held',
      'replayed',
      "if ('kind' in claim && claim.kind === 'known') open",
      'open',
    ],
  ]),
  ...of('http/atomic/atomic.ts', 'undone-outside.pg.test.ts', [
    ['a serializable refusal rests on what was rolled back', 'once', " || isolation === 'serializable'", ''],
    [
      'a refusal without a key has a second transaction',
      'once',
      "hasKey ? new UndoneOutside(result) : new Undo({ outcome: 'executed', response })",
      'new UndoneOutside(result)',
    ],
    [
      'storing a refusal is not tried again where the handler runs once',
      'once',
      '(undone === null ? retried : retryTransient)(once)',
      'retried(once)',
    ],
    [
      'a refusal that may not have been stored is an unknown outcome',
      'replayed',
      'endingOf(settings, error, undone !== null)',
      'endingOf(settings, error)',
    ],
    [
      'a handler runs again after another request held its key',
      'once',
      'return attempt()',
      'return attempt().finally(() => (undone = null))',
    ],
  ]),
  ...of('http/atomic/batch.ts', 'batch.pg.test.ts', [
    [
      'a key that comes twice runs twice in a batch',
      'replayed',
      'return !keys.has(key) && keys.add(key)',
      'return true',
    ],
    [
      'a batch takes two tenants for one',
      'confidential',
      "`${request.keyHash.toString('hex')} ${request.tenant}`",
      '`${request.keyHash.subarray(0, 0).toString()}`',
    ],
    [
      'a request without a key gets a row',
      'replayed',
      "if (fate !== 'undo' && item.request !== null)",
      "if (fate !== 'undo')",
    ],
  ]),
  ...of('http/atomic/batch.ts', 'batch-failures.pg.test.ts', [
    [
      'a handler’s own COMMIT is tried again',
      'once',
      'if (isEndedByHandler(error) && touched.size > 0)',
      'if (isTimeout(error))',
    ],
    [
      'a handler’s own COMMIT is told to those that it does not concern',
      'innocent',
      "touched.has(item) ? { kind: 'failed', error } : { kind: 'again' }",
      "({ kind: 'failed', error })",
    ],
  ]),
  ...of('http/atomic/batch.ts', 'batch-request-failures.pg.test.ts', [
    ['a request that is not stored gets a row', 'replayed', "if (fate !== 'undo' && item.request", 'if (item.request'],
    ['a handler’s network error is taken for an outage', 'outage', 'new HandlerFailed(part.error)', 'part.error'],
  ]),
  ...of('http/atomic/claim-keys.ts', 'batch-failures.pg.test.ts', [
    [
      'keys are written in the order of the requests',
      'bounded',
      '[...done].sort((a, b) => inKeyOrder(a.request, b.request))',
      '[...done]',
    ],
  ]),
  ...of('http/atomic/claim-keys.ts', 'abandoned-lease.pg.test.ts', [
    [
      'an abandoned key is taken without being told to',
      'replayed',
      "if (meeting === 'abandoned' && !takesOver)",
      'if (false)',
    ],
  ]),
  ...of('http/atomic/claim-keys.ts', 'handler-edges.pg.test.ts', [
    [
      'a process that hangs keeps its transaction open',
      'bounded',
      "timeoutMs + ('transaction' in db ? 60_000 : 1_000)",
      'timeoutMs * 0',
    ],
  ]),
  ...of('http/atomic/claim-keys.ts', 'own-commit.pg.test.ts', [
    [
      'a retry repeats what the handler of a batch committed',
      'once',
      'const why = await afterRollback(settings, operation, begun, error)',
      'const why = error',
    ],
  ]),
  ...of('http/atomic/cut-batch.ts', 'batch-failures.pg.test.ts', [
    [
      'a lost connection is tried again for every half',
      'outage',
      '!isTimeout(error) && !isUnavailable(error)',
      '!isTimeout(error)',
    ],
    [
      'a batch that overran is tried again',
      'bounded',
      '!isTimeout(error) && !isUnavailable(error)',
      '!isUnavailable(error)',
    ],
    [
      'a half that was not tried may have committed',
      'replayed',
      'if (!isCommitUnknown(error)) return error',
      'if (!isTimeout(error)) return error',
    ],
    ['what was undone is taken for committed', 'innocent', 'for (const item of part) touched.delete(item)', ''],
    [
      'a conflict is taken for a request’s own',
      'innocent',
      'if (isTimeout(error) || isTransient(error)) throw error',
      'if (isTimeout(error)) throw error',
    ],
  ]),
  ...of('http/atomic/cut-batch.ts', 'batch-request-failures.pg.test.ts', [
    [
      'a failed commit fails everybody',
      'innocent',
      'if (part.length > 1 && mayBeOnes(error)) {',
      'if (part.length > 100 && mayBeOnes(error)) {',
    ],
    ['nothing is undone before the parts run again', 'once', 'if (!isKeptWhole) {', 'if (part.length > 100) {'],
    ['what runs alone is not behind a savepoint of its own', 'once', 'await savepoint.take()', ''],
    [
      'the halves change places',
      'ordered',
      '[items.slice(0, middle), items.slice(middle)]',
      '[items.slice(middle), items.slice(0, middle)]',
    ],
    ['what follows a bad request is run with it', 'innocent', 'isOpen = kept\n', 'isOpen = true\n'],
    [
      'fewer answers than requests are taken',
      'refused',
      'returned.length !== part.length',
      'returned.length > part.length',
    ],
  ]),
  ...of('http/atomic/effects-without-record.ts', 'own-commit.pg.test.ts', [
    ['effects that the handler committed are said to be undone', 'once', "?.['mark'] !== mark)", '=== null)'],
    ['a rollback of the handler’s own is taken for a commit', 'once', "(isEnded && fate !== 'aborted')", 'isEnded'],
    ['a commit behind which a statement failed is not seen', 'once', "fate === 'committed' || ", ''],
    ['nobody asks about a handler that overran', 'once', 'isTimeout(error) || isUnavailable', 'isUnavailable'],
    ['nobody asks about a connection that was lost', 'once', 'isUnavailable(error) || ', ''],
    ['nobody asks about a success whose transaction has failed', 'once', " || sqlStateOf(error) === '25P02'", ''],
    [
      'a retry repeats what the handler committed',
      'once',
      'if (isKept) for (',
      'if (isKept) for (const _ of []) for (',
    ],
    [
      'what the handler committed is said to be rolled back',
      'once',
      "? 'indeterminate' : 'rolled-back'",
      "? 'rolled-back' : 'rolled-back'",
    ],
  ]),
  ...of('http/atomic/run-handler.ts', 'handler-edges.pg.test.ts', [
    ['a handler that never settles is waited for', 'bounded', 'tooLate.reject(error)\n', ''],
    ['a handler that overruns is not told', 'bounded', 'controller.abort(error)\n', ''],
    [
      'a foreign system that refuses connections is taken for our database',
      'innocent',
      'throw isAlive ? new HandlerFailed(error) : error',
      'throw error',
    ],
  ]),
]
