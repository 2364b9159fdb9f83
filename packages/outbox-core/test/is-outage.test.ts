import { expect, it } from 'vitest'
import { HandlerOutageError, isOutage, PublishOutageError } from '../src/index.ts'

const coded = (code: string): Error => Object.assign(new Error('x'), { code })

it.each([
  ['a handler that says so', new HandlerOutageError('the ledger is away')],
  ['a publisher that says so', new PublishOutageError('x')],
  ['a refused connection', coded('ECONNREFUSED')],
  ['a reset connection', coded('ECONNRESET')],
  ['a connection that timed out', coded('ETIMEDOUT')],
  ['PostgreSQL shutting down', coded('57P01')],
  ['PostgreSQL starting', coded('57P03')],
  ['a connection exception', coded('08006')],
  ['too many connections', coded('53300')],
  ['the read-only server of a failover', coded('25006')],
  ['a pool of pg that is exhausted', new Error('timeout exceeded when trying to connect')],
  ['a connection of pg that ended', new Error('Connection terminated unexpectedly')],
  ['a cause far down', new Error('a', { cause: new Error('b', { cause: coded('ECONNREFUSED') }) })],
  ['every address refused', new AggregateError([coded('ECONNREFUSED'), coded('EHOSTUNREACH')])],
])('%s is an outage', (_, error) => {
  expect(isOutage(error)).toBe(true)
})

const circle = new Error('x')
circle.cause = circle

it.each([
  ['a plain error', new Error('x')],
  ['a broken constraint', coded('23505')],
  ['a deadlock', coded('40P01')],
  ['a cancelled statement', coded('57014')],
  ['an error that only mentions it', new Error('the client said: Connection terminated unexpectedly')],
  ['one address of many', new AggregateError([coded('ECONNREFUSED'), new Error('x')])],
  ['a circle of causes', circle],
  ['no error at all', null],
  ['text', 'ECONNREFUSED'],
])('%s is no outage', (_, error) => {
  expect(isOutage(error)).toBe(false)
})
