/** A trigger that looks at messages which the functions that add did not write, and the SQL that makes it again; `SCHEMA` stands for the quoted schema. */
export interface ExpectedTrigger {
  readonly name: string
  readonly create: string
}

const trigger = (name: string, when: string): ExpectedTrigger => ({
  name,
  create: `drop trigger if exists ${name} on SCHEMA.messages; create trigger ${name} before ${when} execute function SCHEMA.check_message(); alter table SCHEMA.messages enable always trigger ${name};`,
})

/** Every trigger that the migrations make. */
export const expectedTriggers: readonly ExpectedTrigger[] = [
  trigger('zz_check_message', 'insert on SCHEMA.messages for each row when (new.lane < 0)'),
  trigger(
    'zz_check_changed_message',
    'update of id, lane, topic, type, ordering_key, payload, payload_binary, content_type, headers on SCHEMA.messages for each row',
  ),
  trigger('zz_check_changed_attempts', 'update of attempts on SCHEMA.messages for each row when (new.attempts < 0)'),
]
