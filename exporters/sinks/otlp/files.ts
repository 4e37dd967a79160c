/** The files of a connection, read and found fit for use before it is made. */
import { X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { MAX_PEM_BYTES } from '../../../config/agent/loading/named-file.ts'
import { ExportError, textOf } from '../../contract/errors.ts'
import { contentOf } from '../../runtime/named-file.ts'

export interface TlsFiles {
  /** PEM files, read at start and again at a reopen. */
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** Name to expect in the certificate when it is not that of the endpoint. */
  readonly serverName?: string | undefined
  readonly insecureSkipVerify?: boolean
}

/** Reads the files. Rejects with ExportError UNUSABLE when one cannot be read, is no PEM, or certificate and key are no pair. */
export async function secureContextOf({ caFile, certFile, keyFile }: TlsFiles): Promise<tls.SecureContext> {
  const [ca, cert, key] = await Promise.all([pem('ca', caFile), pem('certificate', certFile), pem('key', keyFile)])
  if (ca !== undefined) checkAuthorities(ca, `tls ca file "${caFile}"`)
  try {
    return tls.createSecureContext({
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    })
  } catch (error) {
    const what = `tls certificate file "${certFile}" with key file "${keyFile}"`
    throw new ExportError('UNUSABLE', `${what}: expected a certificate and its key in PEM: ${textOf(error)}`, error)
  }
}

/** Without its end where it is written half. */
const BLOCK = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*(?:-----END[^\n]*)?/g

/** `createSecureContext` passes over authorities that it cannot read, and then trusts nobody. */
function checkAuthorities(content: Buffer, what: string): void {
  const blocks = content.toString('latin1').match(BLOCK)
  try {
    if (blocks === null) throw new Error('there is none')
    for (const block of blocks) void new X509Certificate(block)
  } catch (error) {
    throw new ExportError('UNUSABLE', `${what}: expected certificates in PEM: ${textOf(error)}`, error)
  }
}

async function pem(what: string, path: string | undefined): Promise<Buffer | undefined> {
  return path === undefined ? undefined : contentOf(`tls ${what} file`, path, MAX_PEM_BYTES)
}
