import type { KafkaOffsetsAdmin } from '../client.ts'

/** What is used of an admin client that connects and disconnects. */
interface Connected {
  connect(): Promise<void>
  disconnect(): Promise<void>
}

/** Asks by an admin client of its own, which is gone with the answer. */
export async function asking<Admin extends Connected, Answer>(
  client: { admin(): Admin },
  ask: (admin: Admin) => Promise<Answer>,
): Promise<Answer> {
  const admin = client.admin()
  await admin.connect()
  try {
    return await ask(admin)
  } finally {
    await admin.disconnect()
  }
}

/** Each question by an admin client of its own. */
export function createOffsetsAdmin(client: { admin(): Connected & KafkaOffsetsAdmin }): KafkaOffsetsAdmin {
  return {
    fetchTopicOffsets: (topic) => asking(client, (admin) => admin.fetchTopicOffsets(topic)),
    fetchOffsets: (options) => asking(client, (admin) => admin.fetchOffsets(options)),
  }
}
