/** The workload that a pod belongs to, by Tetragon's rules, which are Istio's: from the pod alone, without asking for its owners. */

export interface Owned {
  readonly name: string
  readonly generateName: string
  readonly labels: Readonly<Record<string, string>>
  readonly owners: ReadonlyArray<{ readonly kind: string; readonly name: string; readonly controller: boolean }>
}

export interface Workload {
  readonly name: string
  readonly kind: string
}

/** A Job of a CronJob ends in the time for which it was scheduled. */
const SCHEDULED = /^(.+)-\d{8,10}$/s

export function workloadOf({ name, generateName, labels, owners }: Owned): Workload {
  const owner = generateName === '' ? undefined : owners.find(({ controller }) => controller)
  if (owner === undefined) return { name, kind: 'Pod' }
  const hash = labels['pod-template-hash'] ?? ''
  const config = labels['deploymentconfig'] ?? ''
  const job = owner.kind === 'Job' ? SCHEDULED.exec(owner.name)?.[1] : undefined
  if (owner.kind === 'ReplicaSet' && hash !== '' && owner.name.endsWith(hash)) {
    const suffix = `-${hash}`
    const deployment = owner.name.endsWith(suffix) ? owner.name.slice(0, -suffix.length) : owner.name
    return { name: deployment === '' ? name : deployment, kind: 'Deployment' }
  }
  if (owner.kind === 'ReplicationController' && config !== '') return { name: config, kind: 'DeploymentConfig' }
  if (job !== undefined) return { name: job, kind: 'CronJob' }
  return { name: owner.name === '' ? name : owner.name, kind: owner.kind }
}
