/** Schemas of the config's keys that hold an address. Apart from addresses.ts, which commands load without zod. */
import * as z from 'zod'
import { ADDRESS, DEFAULT_SERVER, formatAddress, parseAddress } from '../base/addresses.ts'
import type { Address } from '../base/addresses.ts'

const OPTIONAL = `expected an address such as ${DEFAULT_SERVER}, or disabled`

function decoded(text: string, { issues }: z.core.ParsePayload, otherwise = ''): Address {
  const found = parseAddress(text)
  if (typeof found !== 'string') return found
  issues.push({ code: 'custom', input: text, message: found + otherwise })
  return z.NEVER
}

const parsed = z.union([z.object({ host: z.string(), port: z.int() }), z.object({ path: z.string() })])

export const address: z.ZodCodec<z.ZodString, typeof parsed> = z.codec(z.string({ error: ADDRESS }), parsed, {
  decode: (text, context) => decoded(text, context),
  encode: formatAddress,
})

const addressOrDisabled = z.union([parsed, z.literal('disabled')])

/** `address` of a server that `disabled` or an empty text switches off. */
export const optionalAddress: z.ZodCodec<z.ZodString, typeof addressOrDisabled> = z.codec(
  z.string({ error: OPTIONAL }),
  addressOrDisabled,
  {
    decode: (text, context) =>
      text === '' || text === 'disabled' ? 'disabled' : decoded(text, context, ', or disabled'),
    encode: (value) => (value === 'disabled' ? value : formatAddress(value)),
  },
)
