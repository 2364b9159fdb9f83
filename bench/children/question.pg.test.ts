import { expect, it } from 'vitest'
import { ask } from './question.ts'

it('a question whose process ends without an answer is an error: whoever asks can go on with the next', async () => {
  const nobodys = { name: 'nobody-asks-this', question: '', run: () => Promise.reject(new Error('is run elsewhere')) }

  await expect(ask(nobodys, { rounds: 1, scale: 0.01 })).rejects.toThrow('its process ended with 1')
})
