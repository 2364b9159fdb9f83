/** One setting of a role, from its environment. @throws Error naming the variable when it is missing */
export function setting(name: string, fallback?: string): string {
  const value = process.env[name] ?? fallback
  if (value === undefined || value === '') throw new Error(`environment variable ${name} is not set`)
  return value
}

/** A duration, in milliseconds. @throws Error naming the variable when it is no positive number */
export function milliseconds(name: string, fallback: number): number {
  const text = setting(name, String(fallback))
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0)
    throw new Error(`environment variable ${name} is "${text}": it must be a positive number of milliseconds`)
  return value
}
