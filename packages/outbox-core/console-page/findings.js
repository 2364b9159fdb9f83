import { age, h, section, words } from './elements.js'
import { sections } from './sections.js'

/** What a finding is, in words, and where on this page it is mended. */
const titles = {
  BROKER_UNAVAILABLE: ['The broker is away', 'breakers', 'See what waits for it'],
  DESTINATION_UNAVAILABLE: ['A destination takes nothing', 'breakers', 'See what waits for it'],
  NO_RELAY: ['No relay runs', 'relays', 'See the relays'],
  RELAY_DEAD: ['A relay is dead', 'relays', 'See the relays'],
  RELAY_HUNG: ['A relay hangs', 'relays', 'See the relays'],
  LANES_WITHOUT_RELAY: ['Lanes have no relay', 'relays', 'See the relays'],
  PUBLISHING_FAILS: ['Every publish fails', 'retries', 'See the words'],
  OVERDUE: ['Messages are late', 'flow', 'See the topic'],
  RETRIES: ['Publishes fail', 'retries', 'See the words'],
  POISON: ['A message kills its relay', 'dead-letters', 'Decide here'],
  DEAD_LETTERS: ['Dead letters wait for a decision', 'dead-letters', 'Decide here'],
  DEAD_LETTERS_FORGOTTEN: ['Dead letters are older than the inbox', 'dead-letters', 'Decide here'],
  HELD_KEYS: ['Ordering keys stand still', 'held-keys', 'Decide here'],
  TOPIC_PAUSED: ['A topic is paused', 'paused', 'Decide here'],
  NEVER_USED: ['Nobody has used this outbox yet'],
  SCHEMA_MISSING: ['The tables are missing'],
  GRANTS_MISSING: ['This role lacks rights'],
  UNSEEN: ['Not everything could be seen'],
}
/** A code without words of its own reads as what it is. */
export const titleOf = ({ code }) => titles[code]?.[0] ?? sentence(code)
const sentence = (code) => code.charAt(0) + code.slice(1).toLowerCase().replaceAll('_', ' ')
const ranks = { problem: 0, warning: 1, unseen: 2 }
const levels = { problem: 'problem', warning: 'warning', unseen: 'could not look' }

export const byHarm = (findings) => findings.toSorted((one, other) => ranks[one.level] - ranks[other.level])

export function findings(view) {
  if (view.findings.length === 0) return null
  const items = byHarm(view.findings).map((finding) => {
    const [, place, label] = titles[finding.code] ?? []
    const isThere = place !== undefined && sections.some(([id, draw]) => id === place && draw(view) !== null)
    const mend = [
      isThere ? h('a', { class: 'button', href: `#${place}` }, label) : null,
      finding.mend === null ? null : h('span', {}, ...words(finding.mend)),
    ].filter((part) => part !== null)
    return h(
      'li',
      { class: `finding ${finding.level}`, 'data-code': finding.code },
      h(
        'p',
        { class: 'head' },
        h('strong', {}, titleOf(finding)),
        h(
          'span',
          { class: 'quiet' },
          levels[finding.level],
          ...(finding.since === null ? [] : [' since ', age(finding.since, ' ago')]),
        ),
        h('span', { class: 'quiet code' }, finding.code),
      ),
      h('p', {}, finding.detail),
      mend.length === 0 ? null : h('p', { class: 'mend' }, h('span', { class: 'label' }, 'Mend'), ...mend),
    )
  })
  return section('findings', 'What is wrong', h('ul', { class: 'plain' }, ...items))
}
