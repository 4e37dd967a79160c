/** The `kubernetes` section: what the agent asks the API server for. */
import { z } from 'zod'
import { list, regex, selector } from './filtering/filter.ts'
import { pathSchema } from '../yaml/paths.ts'

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
    policy_names: list(regex, 'Only policies with a name that one of these matches; RE2, unanchored.'),
  })
  .optional()
  .describe('What the agent asks the API server of its Kubernetes cluster for. Without it, the agent connects to none.')
