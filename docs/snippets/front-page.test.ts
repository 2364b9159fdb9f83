import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const readme = read('README.md')
const rows = read('docs/guarantees.md')
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.slice(2, -2).split(' | '))

it('the front page says of the long runs what the guarantees say', () => {
  const runs = rows.filter(([, seconds]) => seconds === '600')
  const sum = (column: number): string =>
    runs.reduce((total, run) => total + Number(run[column]), 0).toLocaleString('en-US')

  expect(runs.map(([broker]) => broker)).toEqual(['kafka', 'rabbitmq', 'sqs'])
  expect(readme).toContain(`with ${String(runs[0]?.[3])} overlapping faults each: ${sum(4)} messages published`)
  expect(readme).toContain(`**${sum(9)} lost, ${sum(10)} out of order**, ${sum(6)} published again`)
  expect([new Set(runs.map((run) => run[3])).size, sum(7), sum(11)]).toEqual([1, sum(4), '0'])
})

it.each([
  ['restart-postgres-immediate', 'PostgreSQL crashes: half of the lanes within', 'of its start, the last within'],
  ['kill-relay', 'a relay is killed: half within', ', the last within'],
  ['restart-broker', 'the broker crashes: half within', 'of its start, the last within'],
])('the front page gives the slowest times of %s', (fault, half, last) => {
  const times = (rows.find(([name]) => name === `\`${fault}\``) ?? [])
    .slice(3)
    .map((cell) => cell.match(/[\d.]+(?= s)/g))
  const slowest = (index: number): string => Math.max(...times.map((pair) => Number(pair?.[index]))).toFixed(1)

  expect(readme).toContain(`${half} ${slowest(0)} s ${last} ${slowest(1)} s`.replace(' ,', ','))
})
