/** Certificates and keys of a connection, read from their files and found fit for use before it is made. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { TlsConfig } from '../../config/agent/exporters/tls.ts'
import { MAX_PEM_BYTES } from '../../config/yaml/named-file.ts'
import { ExportError, textOf } from '../contract/errors.ts'
import { contentOf } from './named-file.ts'

/** In PEM. The system's authorities where there is no `ca`; `cert` and `key` are there together. */
export interface TlsContents {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

/** Reads the files. Rejects with ExportError UNUSABLE when one cannot be read, is no PEM, or certificate and key are no pair. */
export async function readTlsFiles(config: TlsConfig): Promise<TlsContents> {
  const ca = await content('ca_file', config)
  const cert = await content('cert_file', config)
  const key = await content('key_file', config)
  // Here, because a library reports it as a failed connection, again and again, or trusts nobody.
  certificatesIn('ca_file', ca, config)
  const [certificate] = certificatesIn('cert_file', cert, config)
  const secret = key && parse('key_file', 'a private key without passphrase', config, () => createPrivateKey(key))
  if (certificate && secret && !certificate.checkPrivateKey(secret)) {
    const message = `tls.key_file: expected the key of "${config.cert_file}", got that of another certificate`
    throw new ExportError('UNUSABLE', message)
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

type FileKey = 'ca_file' | 'cert_file' | 'key_file'

async function content(name: FileKey, config: TlsConfig): Promise<string | undefined> {
  const path = config[name]
  return path === undefined ? undefined : (await contentOf(`tls.${name}`, path, MAX_PEM_BYTES)).toString('latin1')
}

/** Without its end where it is written half. */
const BLOCK = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*(?:-----END[^\n]*)?/g

function certificatesIn(name: FileKey, pem: string | undefined, config: TlsConfig): readonly X509Certificate[] {
  if (pem === undefined) return []
  return parse(name, 'certificates', config, () => {
    const blocks = pem.match(BLOCK)
    if (blocks === null) throw new Error('there is none')
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
