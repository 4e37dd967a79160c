/**
 * The agent's login to the API server: with the service account of its pod, or with a kubeconfig file. Credentials are read again for each
 * request, because kubelet replaces the token within an hour, and its CA when that changes.
 */
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { readTextFile } from '../../config/yaml/files.ts'
import { MAX_PEM_BYTES, readNamedFile } from '../../config/base/named-file.ts'
import { formatProblem, show } from '../../config/yaml/problems.ts'
import { whyUnreadable } from '../../config/base/unreadable.ts'
import { CollectorError } from '../errors.ts'

/** In the form that TLS and HTTP take; certificates and keys in PEM. */
export interface Credentials {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly token: string | undefined
}

export interface Login {
  /** Address of the API server, without a slash at the end. */
  readonly server: string
  /** The name that the certificate of the server must have, if it is not the host of `server`. */
  readonly serverName: string | undefined
  /** False: any certificate will do. */
  readonly verify: boolean
  /** For messages: `the service account in /var/run/...` or `the kubeconfig /etc/...`. */
  readonly from: string
  /** Throws CollectorError KUBERNETES_LOGIN. */
  read(): Promise<Credentials>
}

/** The folder where kubelet puts the credentials of a pod. */
export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

export interface LoginOptions {
  /** Default: the pod's service account. */
  readonly kubeconfig: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** Other than SERVICE_ACCOUNT in tests. */
  readonly folder?: string
}

/** Throws CollectorError KUBERNETES_LOGIN, which names the missing part. */
export async function loginOf({ kubeconfig, env, folder = SERVICE_ACCOUNT }: LoginOptions): Promise<Login> {
  const login = kubeconfig === undefined ? podLogin(env, folder) : await fileLogin(kubeconfig)
  await login.read()
  return login
}

function podLogin(env: LoginOptions['env'], folder: string): Login {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (host === '') {
    throw refused(
      'kubernetes: the agent does not run in a pod (KUBERNETES_SERVICE_HOST is not set): set kubernetes.kubeconfig to a kubeconfig file',
    )
  }
  const next = 'give the pod a serviceAccountName, and do not set automountServiceAccountToken to false'
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    serverName: undefined,
    verify: true,
    from: `the service account in ${folder}`,
    read: async () => ({
      ca: await contentOf(`${folder}/ca.crt`, 'the CA of the cluster', next),
      cert: undefined,
      key: undefined,
      token: (await contentOf(`${folder}/token`, 'the token of the service account', next)).trim(),
    }),
  }
}

const CLUSTER = z.object({
  server: z.string(),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'tls-server-name': z.string().optional(),
  'proxy-url': z.string().optional(),
})
const USER = z.object({
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  'client-certificate': z.string().optional(),
  'client-certificate-data': z.string().optional(),
  'client-key': z.string().optional(),
  'client-key-data': z.string().optional(),
  exec: z.unknown().optional(),
  'auth-provider': z.unknown().optional(),
  username: z.unknown().optional(),
})
/** The parts of a kubeconfig that are used. Source: kubernetes.io/docs/reference/config-api/kubeconfig.v1. */
const KUBECONFIG = z.object({
  'current-context': z.string().min(1),
  contexts: z.array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) })),
  clusters: z.array(z.object({ name: z.string(), cluster: CLUSTER })),
  users: z.array(z.object({ name: z.string(), user: USER.nullish() })),
})

async function fileLogin(file: string): Promise<Login> {
  const { cluster, user } = await chosenOf(file)
  const fail = (message: string): CollectorError => refused(`kubernetes.kubeconfig: ${file}: ${message}`)
  if (!cluster.server.startsWith('https://')) {
    throw fail(`expected a server that begins with https://, got ${show(cluster.server)}`)
  }
  if (cluster['proxy-url'] !== undefined) throw fail('proxy-url is not supported: name the API server itself')
  const other = (['exec', 'auth-provider', 'username'] as const).find((key) => user[key] !== undefined)
  if (other !== undefined) {
    throw fail(`${other} of the user is not supported: use a token, a tokenFile or a client certificate`)
  }
  /** A value in the file, or the content of the file that it names, from the folder of the kubeconfig on. */
  const value = async (data: string | undefined, name: string | undefined, what: string): Promise<string | undefined> =>
    data !== undefined
      ? Buffer.from(data, 'base64').toString('latin1')
      : name && contentOf(resolve(dirname(file), name), what, `it is named in the kubeconfig ${file}`)
  return {
    server: cluster.server.replace(/\/+$/, ''),
    serverName: cluster['tls-server-name'],
    verify: cluster['insecure-skip-tls-verify'] !== true,
    from: `the kubeconfig ${file}`,
    read: async () => ({
      ca: await value(cluster['certificate-authority-data'], cluster['certificate-authority'], 'the CA of the cluster'),
      cert: await value(user['client-certificate-data'], user['client-certificate'], 'the client certificate'),
      key: await value(user['client-key-data'], user['client-key'], 'the key of the client certificate'),
      token: user.token ?? (await value(undefined, user.tokenFile, 'the token'))?.trim(),
    }),
  }
}

/** Cluster and user of the current context. */
async function chosenOf(file: string): Promise<{ cluster: z.output<typeof CLUSTER>; user: z.output<typeof USER> }> {
  const fail = (message: string): CollectorError => refused(`kubernetes.kubeconfig: ${file}: ${message}`)
  const read = await readTextFile(file)
  if ('problems' in read) throw refused(`kubernetes.kubeconfig: ${read.problems.map(formatProblem).join('; ')}`)
  let document: unknown
  try {
    document = parse(read.text)
  } catch (error) {
    throw fail(`expected YAML: ${String(error).split('\n', 1)[0]}`)
  }
  const config = KUBECONFIG.safeParse(document)
  if (!config.success) {
    const [issue] = config.error.issues
    throw fail(`expected a kubeconfig: ${issue?.path.join('.')}: ${issue?.message}`)
  }
  const { 'current-context': current, contexts, clusters, users } = config.data
  const context = contexts.find(({ name }) => name === current)?.context
  if (context === undefined) throw fail(`current-context is ${show(current)}, but no context has this name`)
  const cluster = clusters.find(({ name }) => name === context.cluster)?.cluster
  if (cluster === undefined) throw fail(`context ${show(current)} names a cluster that is not in the file`)
  const user = users.find(({ name }) => name === context.user)
  if (user === undefined) throw fail(`context ${show(current)} names a user that is not in the file`)
  return { cluster, user: user.user ?? {} }
}

async function contentOf(file: string, what: string, next: string): Promise<string> {
  try {
    return (await readNamedFile(file, MAX_PEM_BYTES)).toString('latin1')
  } catch (error) {
    throw refused(`kubernetes: cannot read ${what} from ${file}: ${whyUnreadable(error)}; ${next}`, error)
  }
}

function refused(message: string, cause?: unknown): CollectorError {
  return new CollectorError('KUBERNETES_LOGIN', message, { cause })
}
