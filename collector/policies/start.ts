/** The registry of policies with its sources: the folders of the config and the Kubernetes API server. */
import type { Config } from '../../config/agent/schema.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { KernelPolicies, policyLog } from './attach.ts'
import type { KernelPoliciesOptions } from './attach.ts'
import { PolicyFolder } from './folder.ts'
import { followPolicies } from './kubernetes.ts'
import { Policies } from './registry.ts'
import type { OnChange } from './registry.ts'

export interface PolicySourcesOptions extends KernelPoliciesOptions {
  readonly config: Config
  readonly kubernetes: KubernetesClient | undefined
  readonly nodeName: string
  /** Notes each change of a policy. */
  readonly changes: { readonly note: OnChange }
}

export interface StartedPolicies {
  readonly policies: Policies
  readonly folder: PolicyFolder
  /** Sources of policies besides the folder. */
  readonly sources: AsyncDisposable
}

/** Resolves when the policies of the folders are attached. Started parts go to `undo`. Rejects for a policy that is refused. */
export async function startPolicies(
  undo: AsyncDisposableStack,
  options: PolicySourcesOptions,
): Promise<StartedPolicies> {
  const { config, kubernetes, nodeName, changes, log } = options
  const policies = undo.use(new Policies(new KernelPolicies(options), (change) => changes.note(change)))
  const folder = undo.use(new PolicyFolder({ paths: config.policies, policies, onChange: policyLog(log) }))
  await folder.start()
  const sources = undo.use(new AsyncDisposableStack())
  if (kubernetes && config.kubernetes?.policies) {
    sources.use(await followPolicies({ client: kubernetes, config: config.kubernetes, policies, nodeName, log }))
  }
  return { policies, folder, sources }
}
