import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('http/canonical-json.ts', 'canonical-json.test.ts', [
    [
      'a number that no double carries is compared all the same',
      'confidential',
      'if (/^-?\\d+$/.test(literal) && !Number.isSafeInteger(number)) return false\n',
      '',
    ],
    [
      'minus zero is another number',
      'replayed',
      "Object.is(number, -0) ? '0' : String(number)",
      "Object.is(number, -0) ? '-0' : String(number)",
    ],
    [
      'half a surrogate pair passes',
      'refused',
      "if (!plain.isWellFormed()) this.#fail('a string is no Unicode text')",
      '',
    ],
  ]),
  ...of('http/content-coding.ts', 'content-coding.test.ts', [
    ['a few bytes may inflate without end', 'bounded', 'Math.max(1, limit)', '2 ** 30'],
  ]),
  ...of('http/current-call.ts', 'drop-in.pg.test.ts', [
    ['what a handler left running writes into the next transaction', 'confidential', 'running.isOver = true\n', ''],
    ['a handler that ran out of time finds its transaction', 'bounded', ' || running.call.signal.aborted', ''],
  ]),
  ...of('http/fingerprint.ts', 'fingerprint-upgrade.pg.test.ts', [
    ['a PIN can be found out from its row', 'confidential', "createHmac('sha256', secret)", "createHash('sha256')"],
  ]),
  ...of('http/fingerprint.ts', 'http-semantics.pg.test.ts', [
    ['two requests with other parameters are one', 'confidential', 'q: [...searchParams]', 'q: []'],
    ['two methods on one path are one request', 'confidential', 'm: request.method.toUpperCase()', "m: ''"],
  ]),
  ...of('http/key-record.ts', 'http-semantics.pg.test.ts', [
    [
      'another request under a known key is answered with its response',
      'confidential',
      "if (comparison === 'other') return 'mismatch'",
      '',
    ],
  ]),
  ...of('http/key-record.ts', 'retention.pg.test.ts', [
    ['an expired body is sent as an empty one', 'replayed', "record.bodyKept ? 'replay' : 'gone'", "'replay'"],
  ]),
  ...of('http/key-statements.ts', 'abandoned-lease.pg.test.ts', [
    ['a key is taken from a holder that commits', 'replayed', 'for update skip locked) as free', 'for update) as free'],
  ]),
  ...of('http/key.ts', 'key.test.ts', [
    [
      'a key that was sent twice is taken',
      'refused',
      "if (values.length > 1) return malformed('it was sent more than once')",
      '',
    ],
    ['a key shorter than allowed is taken', 'refused', 'key.length < format.minLength || ', ''],
    ['an escape stays in the key', 'replayed', "content?.replaceAll(/\\\\([\"\\\\])/g, '$1')", 'content'],
  ]),
  ...of('http/options.ts', 'operation-options.pg.test.ts', [
    [
      'an operation keeps its keys as long as all others',
      'replayed',
      'keyRetention(keyMs, settings.keyRetentionMs)',
      'settings.keyRetentionMs',
    ],
  ]),
  ...of('http/replay.ts', 'security.pg.test.ts', [
    [
      'who has lost the right gets the response',
      'confidential',
      '!(await options.authorizeReplay(context, seen))',
      'false',
    ],
  ]),
  ...of('http/response.ts', 'handler-edges.pg.test.ts', [
    [
      'a response that nobody can send is committed',
      'replayed',
      'if (body !== null && bodyless.has(response.status))',
      'if (false)',
    ],
  ]),
  ...of('http/response.ts', 'atomic.pg.test.ts', [
    ['a 429 is stored and sent again for days', 'replayed', '413, 425, 429])', '413, 425])'],
  ]),
  ...of('http/scope.ts', 'survivors.pg.test.ts', [
    [
      'two steps give a foreign system the same key',
      'once',
      "hmac(keyHash, 'downstream 1', step)",
      "hmac(keyHash, 'downstream 1')",
    ],
  ]),
  ...of('http/scope.ts', 'security.pg.test.ts', [
    [
      'two users of a tenant share their keys',
      'confidential',
      "hashes('key 1', tenant, subject, operation, key)",
      "hashes('key 1', tenant, operation, key)",
    ],
    [
      'the lengths of tenant and subject do not count',
      'confidential',
      '.update(bytes).digest()',
      ".update(parts.join('')).digest()",
    ],
  ]),
]
