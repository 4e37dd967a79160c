/** Follows the pods of this node at the API server. */
import type { KubernetesClient } from '../kubernetes/client.ts'
import { Informer } from '../kubernetes/informer.ts'
import type { Log } from '../host/log.ts'
import { podOf } from './pod-object.ts'
import type { KnownPod } from './pod-object.ts'
import type { Pods } from './pods.ts'

export interface FollowPodsOptions {
  readonly client: Pick<KubernetesClient, 'list' | 'watch' | 'login'>
  /** The node's name in Kubernetes. */
  readonly nodeName: string
  readonly pods: Pods
  readonly log: Pick<Log, 'info' | 'warn'>
}

/** Starts at once, and continues until it is disposed of; known pods stay known. Problems are logged. */
export function followPods({ client, nodeName, pods, log }: FollowPodsOptions): Informer<KnownPod> {
  const informer: Informer<KnownPod> = new Informer<KnownPod>({
    client,
    resource: { group: '', version: 'v1', name: 'pods' },
    fieldSelector: `spec.nodeName=${nodeName}`,
    read: podOf,
    onSet: (pod, before) => pods.set(pod, before),
    onDelete: (pod) => pods.delete(pod),
    onListed: () => {
      const { size } = informer
      log.info({ pods: size, node: nodeName }, 'the pods of this node are known')
      // The agent's own pod is one, and each node has others.
      if (size === 0) {
        log.warn(
          `no pod runs on a node named ${JSON.stringify(nodeName)}: set node_name, or the variable NODE_NAME, to the node's name in Kubernetes (spec.nodeName of pods)`,
        )
      }
    },
    onProblem: (problem) => {
      if (problem === undefined) log.info('the pods of this node are watched again')
      else log.warn(`${problem}; the agent keeps the pods that it already knows`)
    },
  })
  informer.start()
  return informer
}
