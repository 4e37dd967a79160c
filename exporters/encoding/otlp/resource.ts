/** The resource of all OTLP records: the agent on its host. */
import type { ResourceConfig } from '../../../config/agent/exporters/otlp-records.ts'
import { version } from '../../../config/base/own.ts'
import type { Environment } from '../../../config/agent/loading/substitute.ts'

/** The version of the semantic conventions whose names are used, of resource and records. */
export const SCHEMA_URL = 'https://opentelemetry.io/schemas/1.44.0'

export interface Resource {
  readonly serviceName: string
  readonly serviceVersion: string
  /** Sent as `service.instance.id` and `host.name`. Loki makes one stream per instance. */
  readonly nodeName: string
  /** `host.id`; omitted if it is unknown. */
  readonly hostId?: string | undefined
  /** Whether it is a Kubernetes node; adds `k8s.node.name`. */
  readonly kubernetes?: boolean
  /** `k8s.cluster.name`; omitted when ''. */
  readonly clusterName?: string
  /** Configured attributes; they override ours. */
  readonly attributes?: Readonly<Record<string, string>>
}

export function resourceOf(
  { service_name, resource_attributes }: ResourceConfig,
  clusterName: string,
  { nodeName, hostId, env }: Pick<Resource, 'nodeName' | 'hostId'> & { readonly env: Environment },
): Resource {
  const { 'service.name': named = '', ...attributes } = resource_attributes
  return {
    serviceName: service_name ?? named,
    serviceVersion: version(),
    nodeName,
    hostId,
    // Set in every pod.
    kubernetes: (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '',
    clusterName,
    attributes,
  }
}

/** The resource's attributes in sending order. */
export function resourceAttributes(options: Resource): Readonly<Record<string, string>> {
  const { serviceName, serviceVersion, nodeName, hostId, kubernetes = false, clusterName = '' } = options
  return {
    'service.name': serviceName,
    ...(serviceVersion === '' ? {} : { 'service.version': serviceVersion }),
    'service.instance.id': nodeName,
    'host.name': nodeName,
    ...(hostId === undefined ? {} : { 'host.id': hostId }),
    ...(kubernetes ? { 'k8s.node.name': nodeName } : {}),
    ...(clusterName === '' ? {} : { 'k8s.cluster.name': clusterName }),
    ...options.attributes,
  }
}

/** The scope `<service>.events`. Loki copies it into every entry, so it is short. */
export function scopeOf(options: Resource): { readonly name: string; readonly version: string } {
  return { name: `${options.serviceName}.events`, version: options.serviceVersion }
}
