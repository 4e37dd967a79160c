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
  const ca = await content('ca_file', config)
  const cert = await content('cert_file', config)
  const key = await content('key_file', config)
  // Checked here, because libraries only report failed connections, or trust no certificate.
  certificatesIn('ca_file', ca, config)
  const [certificate] = certificatesIn('cert_file', cert, config)
  const secret = key && parse('key_file', 'a private key without passphrase', config, () => createPrivateKey(key))
  if (certificate && secret && !certificate.checkPrivateKey(secret)) {
    const message = `tls.key_file: expected the key of "${config.cert_file}", got that of another certificate`
    throw new ExportError('UNUSABLE', message)
  }
  return { ca, cert, key }
}

type FileKey = 'ca_file' | 'cert_file' | 'key_file'

async function content(name: FileKey, config: TlsConfig): Promise<string | undefined> {
  const path = config[name]
  return path === undefined ? undefined : (await contentOf(`tls.${name}`, path, MAX_PEM_BYTES)).toString('latin1')
}

/** Also matches a certificate without its end, so that it is reported. */
const BLOCK = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*(?:-----END[^\n]*)?/g

function certificatesIn(name: FileKey, pem: string | undefined, config: TlsConfig): readonly X509Certificate[] {
  if (pem === undefined) return []
  return parse(name, 'certificates', config, () => {
    const blocks = pem.match(BLOCK)
    if (blocks === null) throw new Error('found none')
    return blocks.map((block) => new X509Certificate(block))
  })
}

function parse<T>(name: FileKey, expected: string, config: TlsConfig, read: () => T): T {
  try {
    return read()
  } catch (error) {
    const message = `tls.${name}: expected ${expected} in PEM in "${config[name]}": ${textOf(error)}`
    throw new ExportError('UNUSABLE', message, error)
  }
}
