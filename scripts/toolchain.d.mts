/** Installs one npm package, `name@version`, into `.tools/` of the repository. @returns its folder */
export function install(root: string, spec: string): string
