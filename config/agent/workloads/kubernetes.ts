/** The `kubernetes` section: data that the agent requests from the API server. */
import { z } from 'zod'
import { list, regex, selector } from '../filtering/filter.ts'
import { pathSchema } from '../../base/paths.ts'
import { duration } from '../../base/units.ts'

export const kubernetes = z
  .strictObject({
    kubeconfig: pathSchema(
      "A kubeconfig file with a token or a client certificate. Default: the service account of the agent's pod.",
      'secret',
    ).optional(),
    policies: z
      .boolean()
      .default(false)
      .describe(
        'Policies are also the objects of the kinds TracingPolicy and TracingPolicyNamespaced. A change takes effect within a second; ' +
          'kubectl describe shows what each agent thinks of it.',
      ),
    policy_selector: selector
      .optional()
      .describe(
        'Only policies whose labels match, as in kubectl get -l. Where Tetragon runs beside, choose the policies for ktrail with it.',
      ),
    pods: z
      .boolean()
      .default(false)
      .describe(
        'Events say in which pod of this node they happened: namespace, name, labels, workload, container. node_name must be the name of the node ' +
          'in Kubernetes. Filters by pods need it, and policies that select pods or containers.',
      ),
    pod_wait: duration(0, 60_000)
      .prefault('5s')
      .describe(
        'An event from a container that the API server does not know yet waits at most this long; those of other processes pass. Then it goes with ' +
          'what its cgroup tells: the pod, without the container. With 0s no event waits for a look-up, and all events keep the order of the kernel.',
      ),
    metrics_by_namespace: z
      .boolean()
      .default(false)
      .describe(
        'The metric ktrail_namespace_events_total counts events by policy and namespace of the pod: a sample for each pair, 1,000 at most. Needs pods: true.',
      ),
    policy_names: list(regex, 'Only policies with a name that one of these matches; RE2, unanchored.'),
  })
  .check((context) => {
    const { metrics_by_namespace, pods } = context.value
    const message = 'expected kubernetes.pods: true with it, because the namespaces are those of pods'
    if (metrics_by_namespace && !pods)
      context.issues.push({ code: 'custom', input: context.value, path: ['metrics_by_namespace'], message })
  })
  .optional()
  .describe('What the agent asks the API server of its Kubernetes cluster for. Without it, the agent connects to none.')
