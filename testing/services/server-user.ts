import { spawnSync } from 'node:child_process'

export interface ServerUser {
  readonly uid?: number
  readonly gid?: number
}

/** Whom test servers run as: `nobody` when we are root (some servers refuse root, and none needs it), else ourselves. */
export function serverUser(): ServerUser {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string): number => Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}
