import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('inbox/batch-handler.ts', 'batch-handler.pg.test.ts', [
    [
      'a message overtakes one of its stream that was left out',
      'ordered',
      'message.fail()\n      results.set(',
      'results.set(',
    ],
    [
      'a message of the next batch overtakes one of its stream that failed',
      'ordered',
      "if (typeof found[at] !== 'string') message.fail()",
      '',
    ],
    [
      'messages without a key are one stream',
      'innocent',
      'orderingKey === null ? {} : {',
      "orderingKey === 'no key' ? {} : {",
    ],
  ]),
  ...of('inbox/effects-with-proof.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a message whose handler committed is delivered again, as a duplicate',
      'once',
      "return fate === 'committed' ? new EffectsWithProof(error) : error\n  } catch {\n    return undefined",
      'return error\n  } catch {\n    return undefined',
    ],
    [
      'a handler’s own COMMIT is not looked for once its connection is gone',
      'once',
      'const fate = await inTime(asked)',
      "const fate = await asked.then(() => 'aborted')",
    ],
  ]),
  ...of('inbox/failed-streams.ts', 'inbox-batch.pg.test.ts', [
    [
      'a message overtakes one of its stream that failed',
      'ordered',
      'if (predecessor === undefined) return null',
      'if (predecessor !== null) return null',
    ],
  ]),
  ...of('inbox/inbox.ts', 'inbox-failures.pg.test.ts', [
    [
      'a handler whose error is swallowed can commit its inbox row',
      'once',
      'await db.query(claim.statements.abort, []).catch(() => {})',
      '',
    ],
  ]),
  ...of('inbox/inbox.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a conflict after a handler’s own COMMIT runs the message again',
      'once',
      'if (why instanceof EffectsWithProof) return why',
      '',
    ],
    [
      'a batch whose handler committed is applied one by one, as duplicates',
      'once',
      'if (isDown || isKept || messages',
      'if (isDown || messages',
    ],
  ]),
  ...of('inbox/statements.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a message is applied in another transaction than its proof',
      'once',
      'select 1 / (pg_current_xact_id_if_assigned() is not distinct from $1::xid8)::int',
      'select 1 / ($1::xid8 is not null)::int',
    ],
  ]),
  ...of('inbox/streams-in-hand.ts', 'batch-handler.pg.test.ts', [
    ['two batches at a time have a stream in common', 'ordered', 'await Promise.all(earlier)', ''],
    [
      'a failed message is refused because of itself when it comes again',
      'innocent',
      'run.inHand === 0 || run.failedBy !== null',
      'run.inHand === 0',
    ],
  ]),
]
