/** Reads and checks the certificates and keys of a connection. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { TlsConfig } from '../../config/agent/exporters/tls.ts'
import { MAX_PEM_BYTES } from '../../config/base/named-file.ts'
import { ExportError, textOf } from '../contract/errors.ts'
import { contentOf } from './named-file.ts'

/** In PEM. Without `ca` the system's authorities are used; `cert` and `key` come together. */
export interface TlsContents {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** Rejects with ExportError UNUSABLE if a file is unreadable or not PEM, or if certificate and key do not match. */
export async function readTlsFiles(config: TlsConfig): Promise<TlsContents> {
  requirePair(config)
  const ca = await content('ca_file', config)
  const cert = await content('cert_file', config)
  const key = await content('key_file', config)
  // Checked here, because libraries only report failed connections, or trust no certificate.
  certificatesIn('ca_file', ca, config)
  const [certificate] = certificatesIn('cert_file', cert, config)
  const secret = key && parse('key_file', 'a private key without passphrase', config, key, () => createPrivateKey(key))
  if (certificate && secret && !certificate.checkPrivateKey(secret)) {
    const message = `tls.key_file: expected the key of "${config.cert_file}", got that of another certificate`
    throw new ExportError('UNUSABLE', message)
  }
  return { ca, cert, key }
}

/** Throws ExportError UNUSABLE for a certificate without key, and a key without certificate. */
export function requirePair({ cert_file: cert, key_file: key }: Pick<TlsConfig, 'cert_file' | 'key_file'>): void {
  if ((cert === undefined) !== (key === undefined))
    throw new ExportError('UNUSABLE', 'tls: expected cert_file and key_file together, got one of both')
}

type FileKey = 'ca_file' | 'cert_file' | 'key_file'

async function content(name: FileKey, config: TlsConfig): Promise<string | undefined> {
  const path = config[name]
  return path === undefined ? undefined : (await contentOf(`tls.${name}`, path, MAX_PEM_BYTES)).toString('latin1')
}

/** Contents of a file that is not a key, or not a certificate, each with the next step. */
const BINARY = [
  /^0[\x80-\x84]/,
  'found DER or PKCS #12; convert it with openssl x509 -inform der, or openssl pkcs12',
] as const
const NOT_A_KEY = [
  [/BEGIN ENCRYPTED|,ENCRYPTED/, 'found a passphrase; remove it with openssl pkey'],
  [/BEGIN [A-Z ]*CERTIFICATE/, 'found a certificate; write it as cert_file'],
  BINARY,
] as const
const NOT_A_CERTIFICATE = [
  [/BEGIN [A-Z ]*PRIVATE KEY/, 'found a private key; write it as key_file'],
  [/BEGIN [A-Z ]*CERTIFICATE REQUEST/, 'found a request; use the certificate that the authority signed'],
  BINARY,
] as const

/** Also matches a certificate without its end, so that it is reported. */
const BLOCK = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*(?:-----END[^\n]*)?/g

function certificatesIn(name: FileKey, pem: string | undefined, config: TlsConfig): readonly X509Certificate[] {
  if (pem === undefined) return []
  return parse(name, 'certificates', config, pem, () => {
    const blocks = pem.match(BLOCK)
    if (blocks === null) throw new Error('found none')
    return blocks.map((block) => new X509Certificate(block))
  })
}

function parse<T>(name: FileKey, expected: string, config: TlsConfig, text: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    const known = name === 'key_file' ? NOT_A_KEY : NOT_A_CERTIFICATE
    const found = known.find(([pattern]) => pattern.test(text))?.[1] ?? textOf(error)
    const message = `tls.${name}: expected ${expected} in PEM in "${config[name]}": ${found}`
    throw new ExportError('UNUSABLE', message, error)
  }
}
