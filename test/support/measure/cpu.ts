/** CPU time of this process so far, in ms. A bound on it holds on a busy machine too, where a bound on elapsed time does not. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e3
}
