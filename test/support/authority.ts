/** Certificates for tests, made by openssl. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** PEM files. */
export interface Authority {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' })

/** Why certificates cannot be made here; false if they can. */
export function withoutOpenssl(): string | false {
  try {
    openssl('version')
    return false
  } catch {
    return 'openssl is not installed, so there are no certificates to test with'
  }
}

export interface AuthorityOptions {
  /** Default: 127.0.0.1. */
  readonly addresses?: readonly string[]
  /** Days of validity from now on; -1: expired. */
  readonly days?: number
}

/** A private authority with a certificate, as files `NAME-…` of the folder. */
export function createAuthority(folder: string, name: string, options: AuthorityOptions = {}): Authority {
  const { addresses = ['127.0.0.1'], days = 2 } = options
  const at = (file: string): string => path.join(folder, `${name}-${file}`)
  openssl('req', '-x509', ...KEY, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '2', '-subj', `/CN=${name}`)
  const names = [
    '-subj',
    '/CN=localhost',
    '-addext',
    `subjectAltName=${addresses.map((address) => `IP:${address}`).join(',')}`,
  ]
  openssl('req', ...KEY, '-keyout', at('key.pem'), '-out', at('csr.pem'), ...names)
  const signing = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', `${days}`]
  openssl('x509', '-req', '-in', at('csr.pem'), ...signing, '-copy_extensions', 'copy', '-out', at('cert.pem'))
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') }
}
