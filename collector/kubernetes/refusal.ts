/** Errors of requests to the API server, in one sentence that names the verb and the resource. */
import * as z from 'zod'
import { errnoOf } from '../../config/base/unreadable.ts'
import { show } from '../../config/yaml/problems.ts'
import { CollectorError } from '../errors.ts'
import type { CollectorErrorCode } from '../errors.ts'
import type { Login } from './login.ts'

/** A kind of object. */
export interface Resource {
  /** '' for the core group. */
  readonly group: string
  readonly version: string
  /** Plural, as in URLs: `pods`. */
  readonly name: string
}

/** A request, as errors name it. */
export interface ApiRequest {
  readonly verb: 'list' | 'watch' | 'create' | 'patch'
  readonly resource: Resource
  /** Undefined: of all namespaces. */
  readonly namespace: string | undefined
}

/** The part of a `Status` object that is used. */
export const STATUS = z.object({ code: z.number().optional(), message: z.string().catch('') })

/** `pods`, `tracingpolicies.cilium.io`. */
export function nameOf({ group, name }: Resource): string {
  return group === '' ? name : `${name}.${group}`
}

/** The error for an answer that is not a success; `text` is its body, a Status object if it comes from an API server. */
export function answerError(code: number, text: string, asked: ApiRequest, login: Login): CollectorError {
  const message = messageIn(text)
  const { verb, resource } = asked
  const what = `${verb} ${nameOf(resource)}`
  const fail = (kind: CollectorErrorCode, sentence: string): CollectorError =>
    new CollectorError(kind, `kubernetes: ${sentence}`, { cause: message })
  switch (code) {
    case 401:
      return fail(
        'KUBERNETES_REFUSED',
        `the API server ${login.server} does not accept the credentials of ${login.from} (401): expected those of this cluster`,
      )
    case 403:
      return fail('KUBERNETES_REFUSED', forbidden(message, asked, login))
    case 404:
      return fail('KUBERNETES_NOT_FOUND', `cannot ${what}: the API server ${login.server} does not have it`)
    case 409:
      return fail('KUBERNETES_EXISTS', `cannot ${what}: ${message}`)
    case 410:
      return fail('KUBERNETES_EXPIRED', `cannot ${what}: ${message}`)
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
      return fail('KUBERNETES_BUSY', `cannot ${what} now: the API server ${login.server} answers ${code}: ${message}`)
    default:
      return fail('KUBERNETES_REFUSED', `cannot ${what}: the API server ${login.server} answers ${code}: ${message}`)
  }
}

/** The rule that is missing, ready to be written. Source: kubernetes.io/docs/reference/access-authn-authz/rbac. */
function forbidden(message: string, { verb, resource, namespace }: ApiRequest, login: Login): string {
  const user = /^.* User "([^"]{1,300})"/.exec(message)?.[1] ?? `the user of ${login.from}`
  const role = namespace === undefined ? 'ClusterRole' : `Role in namespace ${namespace}`
  const rule = `{apiGroups: [${JSON.stringify(resource.group)}], resources: [${resource.name}], verbs: [${verb}]}`
  return `${user} may not ${verb} ${nameOf(resource)} (403): give it a ${role} with the rule ${rule}`
}

function messageIn(text: string): string {
  try {
    const { message } = STATUS.parse(JSON.parse(text))
    return message.slice(0, 500)
  } catch {
    // The answer is not from an API server, but for instance from a proxy.
    return show(text)
  }
}

/** The error for a connection that failed. */
export function connectionError(error: unknown, { verb, resource }: ApiRequest, login: Login): CollectorError {
  const why = error instanceof Error ? error.message || errnoOf(error) : String(error)
  const what = `kubernetes: cannot ${verb} ${nameOf(resource)}:`
  const code = errnoOf(error)
  let sentence = `the API server ${login.server} does not answer: ${why}; check the address and network policies`
  if (UNTRUSTED.has(code)) {
    sentence = `the certificate of the API server ${login.server} is not signed by the CA of ${login.from} (${code}): expected the CA of this cluster`
  } else if (UNTIMELY.has(code)) {
    const now = new Date().toISOString().slice(0, 19)
    sentence = `the certificate of the API server ${login.server}, or its CA, is not valid at ${now}Z, the time of this host (${code}): set its clock, or renew the certificate`
  }
  return new CollectorError('KUBERNETES_UNREACHABLE', `${what} ${sentence}`, { cause: error })
}

/** Source: nodejs.org/api/tls.html, X509 certificate error codes. */
const UNTRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
])

/** A clock may be wrong, for instance. */
const UNTIMELY = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'])
