/** Finds the policy of a running agent that a command line names. */
import { didYouMean } from '../../../config/yaml/suggest.ts'
import type { ApiClient } from '../../api/client.ts'
import { FineGuidanceSensors } from '../../proto/tetragon/sensors_pb.js'
import type { TracingPolicyStatus } from '../../proto/tetragon/sensors_pb.js'
import { UsageError } from '../command.ts'
import type { Arguments } from '../command.ts'

/** The policies of the agent, of the given domain and namespace. */
export async function listed(client: ApiClient, given: Arguments): Promise<readonly TracingPolicyStatus[]> {
  const domain = given.text('domain') ?? ''
  const { policies } = await client.call(FineGuidanceSensors.method.listTracingPolicies, { domain })
  const namespace = given.text('namespace')
  return policies.filter((policy) => namespace === undefined || policy.namespace === namespace)
}

/** The domain need not be typed if only one has the policy. Throws UsageError. */
export function theOne(name: string, policies: readonly TracingPolicyStatus[], given: Arguments): TracingPolicyStatus {
  const found = policies.filter((policy) => policy.name === name)
  const [one, other] = found
  const domain = given.text('domain')
  const where = domain === undefined ? '' : ` in the domain "${domain}"`
  if (one === undefined) {
    const names = policies.map((policy) => policy.name)
    throw new UsageError(
      `the agent has no policy "${name}"${where}${didYouMean(name, names) || '; ktrail policy list shows them'}`,
    )
  }
  if (other === undefined) return one
  const places = found.map(
    (each) => `--domain ${each.domain}${each.namespace === '' ? '' : ` --namespace ${each.namespace}`}`,
  )
  throw new UsageError(`${found.length} policies are named "${name}": expected one of ${places.join('; ')}`)
}
