// A fauxqs in a process of its own, so that tests can kill it: node fauxqs-server.mjs PORT [DATA-DIR]
import { DatabaseSync } from 'node:sqlite'
import { startFauxqs } from 'fauxqs'

// fauxqs 2.4.1 writes null into a column that forbids it when a message is made visible at once, answers 500 and loses the
// message from memory. Keep the old value instead.
const prepare = DatabaseSync.prototype.prepare // oxlint-disable-line typescript/unbound-method -- bound again by call()
DatabaseSync.prototype.prepare = function (sql) {
  const column = 'approximate_receive_count'
  return prepare.call(this, sql.replace(`${column} = ?`, `${column} = coalesce(?, ${column})`))
}

const [port, dataDir] = process.argv.slice(2)
const options = { port: Number(port), host: '127.0.0.1', logger: false }
await startFauxqs(dataDir === undefined ? options : { ...options, dataDir })
process.send?.('ready')
// The parent's death, even by SIGKILL, closes the channel: leave nothing behind.
process.once('disconnect', () => process.exit(0))
// Ctrl-C in a terminal reaches the whole group; the parent decides when its broker ends.
process.on('SIGINT', () => {})
