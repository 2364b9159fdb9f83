import pg from 'pg'
import { findDatabase, openDatabase } from '../src/database.js'

/**
 * A database of the tests' own, beside that of the service, dropped by `stop`. In the service's own database the tests' relay would take
 * what waits there to the tests' broker, and it would be lost.
 */
export async function openTestDatabase() {
  const url = new URL(await findDatabase())
  const server = new pg.Client({ connectionString: url.href })
  await server.connect()
  const name = `test_${crypto.randomUUID().replaceAll('-', '_')}`
  await server.query(`create database ${name}`)
  url.pathname = `/${name}`
  const database = await openDatabase(url.href)
  return {
    ...database,
    stop: async () => {
      await database.stop()
      await server.query(`drop database ${name} with (force)`)
      await server.end()
    },
  }
}
