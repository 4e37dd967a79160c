/** What the config says of OTLP records and of whom they are, for every exporter that makes some. */
import type { recordKeys } from '../../config/agent/exporters/otlp-records.ts'
import type { OtlpRecords, ResolvedResource, ResourceOptions } from '../../exporters/index.ts'
import type { z } from 'zod'
import { version } from '../version.ts'
import type { OutputContext } from './output.ts'

type RecordConfig = z.output<z.ZodObject<typeof recordKeys>>

/** As the encoder wants it. */
export function recordsOf(config: RecordConfig, epoch: string): Omit<OtlpRecords, 'protocol' | 'sdk'> {
  return {
    epoch,
    body: config.body,
    severity: config.severity,
    argLabels: config.arg_labels,
    eventNameAttribute: config.event_name_attribute,
  }
}

/** Who the records are of: the agent and its host. */
export function resourceOf(
  { serviceName, resourceAttributes }: ResolvedResource,
  clusterName: string,
  { nodeName, env }: Pick<OutputContext, 'nodeName' | 'env'>,
): ResourceOptions {
  return {
    serviceName: serviceName.value,
    serviceVersion: version(),
    nodeName,
    // Set in every pod.
    kubernetes: (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '',
    clusterName,
    attributes: values(resourceAttributes),
  }
}

/** Without where they come from. */
export function values(sourced: ResolvedResource['resourceAttributes']): Record<string, string> {
  return Object.fromEntries(Object.entries(sourced).map(([name, { value }]) => [name, value]))
}
