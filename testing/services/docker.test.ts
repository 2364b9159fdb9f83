import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { dockerAnswers, kafkaImage, rabbitmqImage } from './docker.ts'
import { pinnedKafkaVersion } from './kafka-settings.ts'

const text = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const compose = [...text('docker-compose.yml').matchAll(/^ +image: (\S+)$/gm)].map(([, image]) => image)
const [, job = ''] = text('.github/workflows/ci.yml').split(/^ {2}(?=testcontainers:)/m)
const daemon = { away: () => Promise.reject(new Error('no daemon')), there: () => Promise.resolve() }

afterEach(() => vi.unstubAllEnvs())

describe('a run without a Docker daemon', () => {
  it('looks for brokers elsewhere', async () => {
    vi.stubEnv('MALOTE_TEST_CONTAINERS', '')

    await expect(dockerAnswers(daemon.away)).resolves.toBe(false)
    await expect(dockerAnswers(daemon.there)).resolves.toBe(true)
  })

  it('fails where containers are required', async () => {
    vi.stubEnv('MALOTE_TEST_CONTAINERS', 'required')

    await expect(dockerAnswers(daemon.away)).rejects.toThrow('MALOTE_TEST_CONTAINERS')
    await expect(dockerAnswers(daemon.there)).resolves.toBe(true)
  })

  it('is none that the job of the workflow takes for a success', () => {
    expect(job).toMatch(/^ +MALOTE_TEST_CONTAINERS: required$/m)
  })
})

describe('images', () => {
  it('are whole versions', () => {
    expect(compose).toEqual([
      expect.stringMatching(/^postgres:\d+\.\d+$/),
      expect.stringMatching(/^rabbitmq:\d+\.\d+\.\d+$/),
      expect.stringMatching(/^apache\/kafka:\d+\.\d+\.\d+$/),
    ])
  })

  it('are the same for Compose, the tests and the job', () => {
    const [, postgres] = /^ +MALOTE_TEST_POSTGRES_IMAGE: (\S+)$/m.exec(job) ?? []

    expect(compose).toEqual([postgres, rabbitmqImage, kafkaImage(pinnedKafkaVersion)])
  })
})
