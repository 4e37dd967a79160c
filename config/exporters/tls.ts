import { z } from 'zod'

const file = z.string().min(1).optional()

/** Certificates of a connection: the same keys for every exporter. `environment`: which variable fills in what is left out. */
export function tlsKeys(environment = { ca: '', cert: '', key: '' }) {
  return {
    ca_file: file.describe(`PEM file of the authorities to trust instead of the system's.${environment.ca}`),
    cert_file: file.describe(`PEM file of the client's certificate, for servers that ask for one.${environment.cert}`),
    key_file: file.describe(`PEM file of the client's private key.${environment.key}`),
    server_name: file.describe("Name to expect in the server's certificate when it is not that of its address."),
    insecure_skip_verify: z
      .boolean()
      .default(false)
      .describe(
        "Takes any certificate of the server. For tests: anyone can then read along and answer in the sink's place.",
      ),
  }
}
