import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { DatabaseClient } from '../postgres/database-client.ts'
import { OutboxError } from '../errors.ts'
import { createOutbox } from '../outbox.ts'
import { sqlStateOf } from '../postgres/queryable.ts'
import type { ConformanceCase } from './conformance.ts'
import { eventually } from './eventually.ts'

/** What the kit needs to try a database client: a database on which `migrate` has run. */
export interface ClientHarness<Tx = never> {
  readonly database: DatabaseClient<Tx>
  /** What an application might pass by mistake: the client itself, outside of any transaction. */
  readonly outside: unknown
  /** A nested transaction (a savepoint) in the client's own words. Rejects when `work` rejects. */
  nested(tx: Tx, work: (inner: Tx) => Promise<void>): Promise<void>
  /** Absent for a client that ends the process when a connection is lost in a transaction. */
  readonly survivesLostConnections?: true
  /** Rows as another connection sees them. */
  read(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>
}

type Case = ConformanceCase<ClientHarness>

const outbox = createOutbox()
const boom = new Error('the application changed its mind')
const message = (topic: string, orderingKey?: string) => ({
  topic,
  type: 'order.accepted',
  payload: { text: `it's a ":quoted" ?`, $1: '$2' },
  ...(orderingKey === undefined ? {} : { orderingKey }),
})

/** What every database client must do for `add`, the inbox and HTTP idempotency to keep their promises on it. */
export const clientConformance: readonly Case[] = [
  {
    name: 'a message commits with its transaction, and the result comes back',
    run: async (harness) => {
      const topic = randomUUID()

      const id = await begin(harness, (tx) => outbox.add(queryable(harness, tx), message(topic)))

      assert.deepEqual(await messagesOf(harness, topic), [{ id, payload: JSON.stringify(message(topic).payload) }])
    },
  },
  {
    name: 'a message rolls back with its transaction, and the application gets its own error',
    run: async (harness) => {
      const topic = randomUUID()

      const attempt = begin(harness, async (tx) => {
        await outbox.add(queryable(harness, tx), message(topic))
        throw boom
      })

      await assert.rejects(attempt, (error) => error === boom)
      assert.deepEqual(await messagesOf(harness, topic), [])
    },
  },
  {
    name: 'the client outside a transaction is refused with our error, and nothing is added',
    run: async (harness) => {
      const topic = randomUUID()

      const attempt = (async () => outbox.add(harness.database.queryable(harness.outside as never), message(topic)))()

      await assert.rejects(attempt, (error) => error instanceof OutboxError && error.code === 'NOT_A_TRANSACTION')
      assert.deepEqual(await messagesOf(harness, topic), [])
    },
  },
  {
    name: 'a transaction that has ended takes no message',
    run: async (harness) => {
      const topic = randomUUID()
      const ended = await begin(harness, (tx) => Promise.resolve({ tx, sql: queryable(harness, tx) }))

      await assert.rejects(async () => outbox.add(ended.sql, message(topic)))
      await assert.rejects(async () => outbox.add(queryable(harness, ended.tx), message(topic)))
      assert.deepEqual(await messagesOf(harness, topic), [])
    },
  },
  {
    name: 'a nested transaction that rolls back takes its message with it and leaves the outer one whole',
    run: async (harness) => {
      const [outer, inner] = [randomUUID(), randomUUID()]

      await begin(harness, async (tx) => {
        await outbox.add(queryable(harness, tx), message(outer))
        const attempt = harness.nested(tx, async (nested) => {
          await outbox.add(queryable(harness, nested), message(inner))
          throw boom
        })
        await assert.rejects(attempt)
        await outbox.add(queryable(harness, tx), message(outer))
      })

      assert.equal((await messagesOf(harness, outer)).length, 2)
      assert.deepEqual(await messagesOf(harness, inner), [])
    },
  },
  {
    name: 'a nested transaction that ends well leaves its message to the outer one',
    run: async (harness) => {
      const [kept, undone] = [randomUUID(), randomUUID()]

      await begin(harness, (tx) =>
        harness.nested(tx, async (nested) => void (await outbox.add(queryable(harness, nested), message(kept)))),
      )
      const attempt = begin(harness, async (tx) => {
        await harness.nested(tx, async (nested) => void (await outbox.add(queryable(harness, nested), message(undone))))
        throw boom
      })

      await assert.rejects(attempt)
      assert.equal((await messagesOf(harness, kept)).length, 1)
      assert.deepEqual(await messagesOf(harness, undone), [])
    },
  },
  {
    name: "with ordering 'commit' a second writer of a key waits for the first one's end",
    run: async (harness) => {
      const topic = randomUUID()
      const ordered = createOutbox({ ordering: 'commit' })
      const ids: string[] = []
      let second: Promise<void> | undefined

      await begin(harness, async (tx) => {
        ids.push(await ordered.add(queryable(harness, tx), message(topic, 'k')))
        const [{ pid } = { pid: 0 }] = (await queryable(harness, tx).query('select pg_backend_pid() as pid', [])).rows
        second = begin(
          harness,
          async (other) => void ids.push(await ordered.add(queryable(harness, other), message(topic, 'k'))),
        )
        await eventually(async () => {
          const waiting = await harness.read(
            'select pid from pg_stat_activity where $1::integer = any(pg_blocking_pids(pid))',
            [pid],
          )
          assert.equal(waiting.length, 1)
        })
        assert.equal(ids.length, 1)
      })
      await second

      assert.deepEqual(
        (await messagesOf(harness, topic)).map(({ id }) => id),
        ids,
      )
    },
  },
  {
    name: 'errors of the database keep their SQLSTATE',
    run: async (harness) => {
      const failing = (statement: string): Promise<unknown> =>
        begin(harness, (tx) => queryable(harness, tx).query(statement, [])).then(
          () => 'no error',
          (error: unknown) => sqlStateOf(error),
        )

      assert.equal(await failing('select 1/0'), '22012')
      assert.equal(await failing('select * from there_is_no_such_table'), '42P01')
      assert.equal(await failing(`do $do$ begin raise exception 'no' using errcode = '40001'; end $do$`), '40001')
    },
  },
  {
    name: 'a transaction runs at the isolation it was begun with, and a conflict in it says so',
    run: async (harness) => {
      for (const isolation of ['read committed', 'repeatable read', 'serializable'] as const) {
        const [row] = await begin(
          harness,
          async (tx) =>
            (await queryable(harness, tx).query(`select current_setting('transaction_isolation') as level`, [])).rows,
          isolation,
        )
        assert.equal(row?.['level'], isolation)
      }

      const id = randomUUID()
      await begin(harness, (tx) => outbox.add(queryable(harness, tx), { ...message(id), id }))
      const update = `update malote.messages set content_type = 'text/plain' where topic = $1`
      const conflict = begin(
        harness,
        async (tx) => {
          await queryable(harness, tx).query('select 1 from malote.messages where topic = $1', [id])
          await begin(harness, (other) => queryable(harness, other).query(update, [id]))
          await queryable(harness, tx).query(update, [id])
        },
        'repeatable read',
      )
      await assert.rejects(conflict, (error) => sqlStateOf(error) === '40001')
    },
  },
  {
    name: 'values arrive as they were given, and rows come back with their columns as they are named',
    run: async (harness) => {
      const text = `it's "quoted" :name ? $1 \\ 😀 ção`
      const bytes = Buffer.from([0, 1, 127, 128, 255])
      const statement = `
        select $1::text as text, $2::integer as an_integer, $3::boolean as a_boolean, $4::text as "Nothing",
          encode($5::bytea, 'hex') as hex, array_to_string($6::text[], '|', 'nothing') as texts, $7::bigint::text as big, $8::float8 as real,
          (select string_agg(encode(b, 'hex'), ',') from unnest($9::bytea[]) as b) as hexes,
          '?' || ':name' as odd, $5::bytea as bytes, null::text as absent`
      const values = [text, 7, true, null, bytes, ['a', 'b,"c"', null], '9007199254740993', 0.25, [bytes, bytes]]

      const [row] = await begin(harness, async (tx) => (await queryable(harness, tx).query(statement, values)).rows)

      assert.deepEqual(
        { ...row, bytes: Buffer.isBuffer(row?.['bytes']) ? row['bytes'].toString('hex') : row?.['bytes'] },
        {
          text,
          an_integer: 7,
          a_boolean: true,
          Nothing: null,
          hex: bytes.toString('hex'),
          texts: 'a|b,"c"|nothing',
          big: '9007199254740993',
          real: 0.25,
          hexes: `${bytes.toString('hex')},${bytes.toString('hex')}`,
          odd: '?:name',
          bytes: bytes.toString('hex'),
          absent: null,
        },
      )
    },
  },
  {
    name: 'a statement that returns no rows answers with none, and one that changes rows can return them',
    run: async (harness) => {
      const topic = randomUUID()

      await begin(harness, async (tx) => {
        const sql = queryable(harness, tx)
        assert.deepEqual(
          (await sql.query(`select set_config('malote.conformance', '1', true) where false`, [])).rows,
          [],
        )
        const id = await outbox.add(sql, message(topic))
        const changed = await sql.query(
          `update malote.messages set type = 'order.changed' where id = $1::uuid returning id, type`,
          [id],
        )
        assert.deepEqual(changed.rows, [{ id, type: 'order.changed' }])
        const deleted = await sql.query('delete from malote.messages where id = $1::uuid returning topic', [id])
        assert.deepEqual(deleted.rows, [{ topic }])
      })
    },
  },
  {
    name: 'a thousand messages go in one call, binary ones too',
    run: async (harness) => {
      const topic = randomUUID()
      const many = Array.from({ length: 1_000 }, (_, at) => ({
        topic,
        type: 'order.accepted',
        payload: at % 2 === 0 ? { at } : Buffer.from([at % 256]),
      }))

      const ids = await begin(harness, (tx) => outbox.addAll(queryable(harness, tx), many))

      assert.deepEqual(
        (await messagesOf(harness, topic)).map(({ id }) => id),
        ids,
      )
    },
  },
  {
    name: 'a connection that is lost in a transaction fails it, and the next transaction works',
    needs: ['survivesLostConnections'],
    run: async (harness) => {
      const topic = randomUUID()

      const attempt = begin(harness, async (tx) => {
        await outbox.add(queryable(harness, tx), message(topic))
        await queryable(harness, tx).query('select pg_terminate_backend(pg_backend_pid())::text', [])
      })

      await assert.rejects(attempt)
      await eventually(() =>
        begin(harness, async (tx) => void (await outbox.add(queryable(harness, tx), message(topic)))),
      )
      assert.equal((await messagesOf(harness, topic)).length, 1)
    },
  },
]

function begin<Result>(
  { database }: ClientHarness,
  work: (tx: never) => Promise<Result>,
  isolation: 'read committed' | 'repeatable read' | 'serializable' = 'read committed',
): Promise<Result> {
  return database.begin(isolation, work)
}

function queryable({ database }: ClientHarness, tx: never): ReturnType<DatabaseClient['queryable']> {
  return database.queryable(tx)
}

function messagesOf(harness: ClientHarness, topic: string): Promise<Record<string, unknown>[]> {
  return harness.read('select id::text, payload from malote.messages where topic = $1 order by seq', [topic])
}
