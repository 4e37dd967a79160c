/** Options of a connection to the brokers, with certificates, keys and passwords read from their files. */
import type { EffectiveType } from '../../../../config/agent/effective.ts'
import { ExportError } from '../../../contract/errors.ts'
import { secretOf } from '../../../runtime/named-file.ts'
import { readTlsFiles } from '../../../runtime/tls-files.ts'
import type { TlsContents } from '../../../runtime/tls-files.ts'

export type KafkaConfig = EffectiveType<'kafka'>
type TlsConfig = NonNullable<KafkaConfig['tls']>
type SaslConfig = NonNullable<KafkaConfig['sasl']>

export interface KafkaSasl extends Pick<SaslConfig, 'mechanism' | 'username'> {
  readonly password: string
}

/** The config for a client. */
export interface KafkaConnection extends Pick<
  KafkaConfig,
  'brokers' | 'client_id' | 'compression' | 'acks' | 'idempotent' | 'request_timeout'
> {
  readonly tls: (Pick<TlsConfig, 'server_name' | 'insecure_skip_verify'> & { readonly pem: TlsContents }) | undefined
  readonly sasl: KafkaSasl | undefined
}

/**
 * Reads all files that the config names. Rejects with ExportError UNUSABLE if one is unreadable or not a certificate or key, or
 * if a password is empty.
 */
export async function readConnection(config: KafkaConfig): Promise<KafkaConnection> {
  const { tls, sasl } = config
  return {
    ...config,
    tls: tls && { ...tls, pem: await readTlsFiles(tls) },
    sasl: sasl && (await readSasl(sasl)),
  }
}

/** True if both have the same credentials. */
export function sameCredentials(a: KafkaConnection, b: KafkaConnection): boolean {
  return JSON.stringify([a.tls, a.sasl]) === JSON.stringify([b.tls, b.sasl])
}

async function readSasl({ mechanism, username, password, password_file: file = '' }: SaslConfig): Promise<KafkaSasl> {
  const known = password ?? (await secretOf('sasl.password_file', file, 'utf8'))
  if (known !== '') return { mechanism, username, password: known }
  throw new ExportError('UNUSABLE', `sasl: expected a password in "${file}", got an empty file`)
}
