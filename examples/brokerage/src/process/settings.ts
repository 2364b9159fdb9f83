/** One setting of a role, from its environment. @throws Error naming the variable when it is missing */
export function setting(name: string, fallback?: string): string {
  const value = process.env[name] ?? fallback
  if (value === undefined || value === '') throw new Error(`environment variable ${name} is not set`)
  return value
}
