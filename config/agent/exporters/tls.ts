import * as z from 'zod'
import { pathSchema } from '../../base/paths.ts'
import { flag } from '../filtering/filter.ts'

/** Certificates of a connection: the same keys for every exporter. `environment`: the variables for missing keys. */
export function tlsKeys(environment = { ca: '', cert: '', key: '' }) {
  return {
    ca_file: pathSchema(`PEM file of the authorities to trust instead of the system's.${environment.ca}`).optional(),
    cert_file: pathSchema(
      `PEM file of the client certificate, for servers that require one.${environment.cert}`,
    ).optional(),
    key_file: pathSchema(`PEM file of the private key of the client.${environment.key}`, 'secret').optional(),
    server_name: z
      .string()
      .min(1)
      .optional()
      .describe("Expected name in the server's certificate, if it differs from the address."),
    insecure_skip_verify: flag(
      'Accepts any certificate. Only for tests: anyone can read the traffic and impersonate the sink.',
    ),
  }
}

export type TlsConfig = Readonly<z.output<z.ZodObject<ReturnType<typeof tlsKeys>>>>
