/** Certificates, keys and passwords from their files: the way to the brokers as a driver wants it. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { MAX_PEM_BYTES, MAX_SECRET_BYTES } from '../../../config/agent/loading/named-file.ts'
import { ExportError, textOf } from '../../contract/errors.ts'
import { contentOf } from '../../runtime/named-file.ts'
import type { KafkaConnection, KafkaOptions, KafkaSasl, KafkaSaslSource, KafkaTls, KafkaTlsFiles } from './options.ts'

/**
 * Reads all files that the options name. Rejects with ExportError UNUSABLE when one cannot be read or is no certificate or key,
 * and when a password is empty.
 */
export async function readConnection(options: KafkaOptions): Promise<KafkaConnection> {
  const { tls, sasl, ...rest } = options
  return {
    ...rest,
    ...(tls === undefined ? {} : { tls: await readTls(tls) }),
    ...(sasl === undefined ? {} : { sasl: await readSasl(sasl) }),
  }
}

/** True when both would log in the same way. */
export function sameCredentials(a: KafkaConnection, b: KafkaConnection): boolean {
  return JSON.stringify([a.tls, a.sasl]) === JSON.stringify([b.tls, b.sasl])
}

async function readTls(files: KafkaTlsFiles): Promise<KafkaTls> {
  const { caFile, certFile, keyFile, serverName, insecure = false } = files
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new ExportError('UNUSABLE', 'tls: expected cert_file and key_file together, got one of both')
  }
  const ca = await textIn('tls.ca_file', caFile, MAX_PEM_BYTES)
  const cert = await textIn('tls.cert_file', certFile, MAX_PEM_BYTES)
  const key = await textIn('tls.key_file', keyFile, MAX_PEM_BYTES)
  // Here, because a library would say it as a connection that failed, again and again.
  parse('tls.ca_file', caFile, 'a certificate', ca, (pem) => new X509Certificate(pem))
  const certificate = parse('tls.cert_file', certFile, 'a certificate', cert, (pem) => new X509Certificate(pem))
  const own = parse('tls.key_file', keyFile, 'a private key without passphrase', key, (pem) => createPrivateKey(pem))
  if (own !== undefined && certificate?.checkPrivateKey(own) === false) {
    throw new ExportError(
      'UNUSABLE',
      `tls.key_file: expected the key of "${certFile}", got that of another certificate`,
    )
  }
  return { ca, cert, key, serverName, insecure }
}

function parse<T>(
  name: string,
  path: string | undefined,
  expected: string,
  pem: string | undefined,
  read: (pem: string) => T,
): T | undefined {
  if (pem === undefined) return undefined
  try {
    return read(pem)
  } catch (error) {
    throw new ExportError('UNUSABLE', `${name}: expected ${expected} in PEM in "${path}": ${textOf(error)}`, error)
  }
}

async function readSasl(source: KafkaSaslSource): Promise<KafkaSasl> {
  const { mechanism, username, password, passwordFile } = source
  const known = password ?? (await textIn('sasl.password_file', passwordFile, MAX_SECRET_BYTES))?.replace(/\r?\n$/, '')
  if (known !== undefined && known !== '') return { mechanism, username, password: known }
  const where =
    passwordFile === undefined
      ? 'password or password_file, got none'
      : `a password in "${passwordFile}", got an empty file`
  throw new ExportError('UNUSABLE', `sasl: expected ${where}`)
}

async function textIn(key: string, path: string | undefined, maxBytes: number): Promise<string | undefined> {
  return path === undefined ? undefined : (await contentOf(key, path, maxBytes)).toString('utf8')
}
