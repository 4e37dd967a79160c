/** The parts of a pod, as the API server has it, that kubelet.ts uses. */
import assert from 'node:assert/strict'

export interface Image {
  /** Folders; the first is the top. */
  readonly layers: readonly string[]
  readonly entrypoint: readonly string[]
}
export interface Mount {
  readonly name: string
  readonly mountPath: string
  readonly readOnly?: boolean
}
/** In the form that runc requires. */
export interface MountOptions {
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}
interface Probe {
  readonly httpGet?: { readonly path: string; readonly port: string | number }
}
export interface Probed {
  readonly ports?: ReadonlyArray<{ readonly name?: string; readonly containerPort: number }>
  readonly startupProbe?: Probe
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
}
export interface Security {
  readonly privileged?: boolean
  readonly allowPrivilegeEscalation?: boolean
  readonly readOnlyRootFilesystem?: boolean
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] }
}
export interface Container extends Probed {
  readonly name: string
  readonly image: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: ReadonlyArray<{ name: string; value?: string; valueFrom?: { fieldRef?: { fieldPath: string } } }>
  readonly securityContext?: Security
  readonly volumeMounts?: readonly Mount[]
  readonly resources?: { readonly limits?: { readonly memory?: string } }
}
export interface PodSpec {
  readonly hostPID?: boolean
  readonly serviceAccountName?: string
  readonly automountServiceAccountToken?: boolean
  readonly terminationGracePeriodSeconds?: number
  readonly initContainers?: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes?: readonly Volume[]
}

interface Named {
  readonly name: string
  readonly items?: ReadonlyArray<{ readonly key: string; readonly path: string }>
}
export interface Source {
  readonly configMap?: Named
  readonly secret?: Named
}
export interface Volume {
  readonly name: string
  readonly hostPath?: { readonly path: string; readonly type?: string }
  readonly emptyDir?: { readonly medium?: string; readonly sizeLimit?: string }
  readonly projected?: { readonly sources: readonly Source[]; readonly defaultMode?: number }
}

/** A quantity such as 640Mi, in bytes. */
export function bytesOf(quantity: string): number {
  const [, number = '', unit = ''] = /^(\d+)(Ki|Mi|Gi|)$/.exec(quantity) ?? assert.fail(`quantity ${quantity}`)
  return Number(number) * 1024 ** ['', 'Ki', 'Mi', 'Gi'].indexOf(unit)
}
