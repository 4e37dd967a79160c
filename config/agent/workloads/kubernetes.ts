/** The `kubernetes` section: data that the agent requests from the API server. */
import * as z from 'zod'
import { flag, list, regex, selector } from '../filtering/filter.ts'
import { pathSchema } from '../../base/paths.ts'
import { duration } from '../../base/units.ts'

export const kubernetes = z
  .strictObject({
    kubeconfig: pathSchema(
      "Kubeconfig file with a token or a client certificate. Default: the service account of the agent's pod.",
      'secret',
    ).optional(),
    policies: flag(
      'Whether objects of the kinds TracingPolicy and TracingPolicyNamespaced are also policies. A change takes effect within a second; ' +
        'kubectl describe shows the result on each agent.',
    ),
    policy_selector: selector
      .optional()
      .describe(
        'Label selector of policies, as in kubectl get -l. If Tetragon also runs in the cluster, use it to choose the policies for ktrail.',
      ),
    pods: flag(
      'Whether events have the pod in which they happened: namespace, name, labels, workload, container. node_name must be the name of the node ' +
        'in Kubernetes. Filters by pods, and policies that select pods or containers, require this key.',
    ),
    pod_wait: duration(0, 60_000)
      .prefault('5s')
      .describe(
        'Maximum time that an event waits for a container that the API server does not know yet; events of other processes pass. After it, the event is sent with ' +
          'the pod from its cgroup, without the container. With 0s, no event waits for a look-up, and all events keep the order of the kernel.',
      ),
    metrics_by_namespace: flag(
      'Adds the metric ktrail_namespace_events_total, which counts events by policy and namespace of the pod, with at most 1,000 samples. Requires pods: true.',
    ),
    policy_names: list(regex, 'Only policies whose name matches one of these; RE2, unanchored.'),
  })
  .refine(({ metrics_by_namespace: counts, pods }) => !counts || pods, {
    path: ['metrics_by_namespace'],
    error: 'expected kubernetes.pods: true with it, because the namespaces are those of pods',
  })
  .optional()
  .describe('Data from the API server of the Kubernetes cluster. Without it, the agent connects to none.')
