import { h } from './elements.js'

const remembered = 'malote operator'

/**
 * Asks who and why, and what else the decision is about (`asked`: its name and label), and does it. `ask` is how the server is asked; `done` is called with words when it is done.
 */
export function createDecisions(dialog, { post, explain, done }) {
  return (action, { about, title, consequence, operator, asked = null }) => {
    const who = h('input', {
      name: 'operator',
      required: true,
      maxlength: 200,
      autocomplete: 'username',
      value: operator ?? localStorage.getItem(remembered) ?? '',
      readonly: operator !== null,
    })
    const what = asked === null ? null : h('input', { name: asked.name, required: true, maxlength: 1000 })
    const why = h('textarea', { name: 'reason', required: true, maxlength: 1000, rows: 2 })
    const force = h('input', { type: 'checkbox', name: 'force' })
    const refused = h('p', { class: 'refused', role: 'alert' })
    const receipts = h('div', { class: 'receipts' })
    const go = h('button', { class: 'go' }, titleOf(action))
    const forceLabel = h('label', { class: 'force', hidden: true }, force, ' Replay it all the same')
    const asks = what === null ? null : h('label', {}, asked.label, what)
    const form = h(
      'form',
      { method: 'dialog' },
      h('h2', { id: 'question' }, title),
      h('p', {}, consequence),
      receipts,
      asks,
      h('label', {}, 'Who decides', who),
      h('label', {}, 'Why (for the audit)', why),
      refused,
      forceLabel,
      h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), go),
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void submit()
    })
    async function submit() {
      go.disabled = true
      refused.textContent = ''
      if (operator === null) localStorage.setItem(remembered, who.value.trim())
      const body = { ...about, operator: who.value, reason: why.value, ...(force.checked ? { force: true } : {}) }
      if (what !== null) body[asked.name] = what.value // As written: a key may begin with a blank.
      const answer = await post(`api/actions/${action}`, body)
      go.disabled = false
      if (answer.detail !== undefined) {
        refused.textContent = `Not done. ${answer.detail}`
        if (answer.code === 'FORGOTTEN') forceLabel.hidden = false
        return
      }
      dialog.close()
      const others =
        answer.done < answer.wanted ? ` of ${answer.wanted}: the others are not there, or are so already` : ''
      done(`${titleOf(action)}: done with ${answer.done}${others}.`)
    }
    dialog.replaceChildren(form)
    dialog.showModal()
    ;(what ?? (who.value === '' ? who : why)).focus()
    if (action === 'replay')
      void explain(about.deadLetterIds).then((lines) => receipts.replaceChildren(...receiptList(lines)))
  }
}

const titles = {
  replay: 'Replay',
  discard: 'Discard',
  'hold-key': 'Hold',
  'release-key': 'Release',
  'release-stream': 'Go on',
  'pause-topic': 'Pause',
  'resume-topic': 'Resume',
}
const titleOf = (action) => titles[action] ?? action

const outcomes = {
  applied: 'has it already, and would drop it as a duplicate',
  'not applied': 'has not applied it, and would',
  forgotten: 'no longer remembers, and would refuse it as stale',
}

/** What each consumer of this database would do with it. */
function receiptList(lines) {
  if (lines.length === 0) return []
  const counts = new Map()
  for (const { consumer, outcome } of lines) {
    const line = `${consumer} ${outcomes[outcome]}`
    counts.set(line, (counts.get(line) ?? 0) + 1)
  }
  const items = [...counts].map(([line, times]) => h('li', {}, times > 1 ? `${line} (${times})` : line))
  return [h('p', {}, 'Consumers that keep their inbox in this database:'), h('ul', {}, ...items)]
}
