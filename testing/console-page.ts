/** What of a playwright page a decision needs. */
interface ConsolePage {
  readonly keyboard: { press(key: string): Promise<void> }
  focus(selector: string): Promise<void>
  fill(selector: string, value: string): Promise<void>
  locator(selector: string): { waitFor(options: { readonly state: 'visible' | 'detached' }): Promise<void> }
}

/** Decides on the console as somebody does it: presses the button, says who and why, and sends it, without the mouse. */
export async function decide(
  page: ConsolePage,
  button: string,
  reason: string,
  asked: Readonly<Record<string, string>> = {},
): Promise<void> {
  await page.focus(button)
  await page.keyboard.press('Enter')
  const dialog = page.locator('dialog[open]')
  await dialog.waitFor({ state: 'visible' })
  for (const [name, value] of Object.entries(asked)) await page.fill(`dialog [name=${name}]`, value)
  await page.fill('dialog [name=operator]', 'ana')
  await page.fill('dialog [name=reason]', reason)
  await page.focus('dialog .go')
  await page.keyboard.press('Enter')
  await dialog.waitFor({ state: 'detached' })
}
