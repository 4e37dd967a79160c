/**
 * A login for kafkajs that keeps the cause of a failure. kafkajs reports any failure, even a lost connection, as "authentication
 * failed": a restarting broker would seem to be a wrong password.
 */
import { createRequire } from 'node:module'
import type { AuthenticationProviderArgs, Authenticator, Mechanism } from 'kafkajs'
import type { KafkaSasl } from './connection.ts'

type Provider = (sasl: KafkaSasl) => (args: AuthenticationProviderArgs) => Authenticator

const FILES = { plain: 'plain', 'scram-sha-256': 'scram256', 'scram-sha-512': 'scram512' } as const

/** For kafkajs's option `sasl`. */
export function loginOf(sasl: KafkaSasl): Mechanism {
  const provider = providerOf(sasl)(sasl)
  return { mechanism: sasl.mechanism, authenticationProvider: (args) => honest(provider, args) }
}

/** Rejects with the error of the exchange with the broker, if it failed. */
function honest(provider: ReturnType<Provider>, args: AuthenticationProviderArgs): Authenticator {
  let reason: unknown
  const authenticator = provider({
    ...args,
    saslAuthenticate: (exchange) =>
      args.saslAuthenticate(exchange).catch((error: unknown) => {
        reason = error
        throw error
      }),
  })
  return {
    authenticate: () =>
      authenticator.authenticate().catch((error: unknown) => {
        throw reason ?? error
      }),
  }
}

function providerOf({ mechanism }: KafkaSasl): Provider {
  const loaded: unknown = createRequire(import.meta.url)(`kafkajs/src/broker/saslAuthenticator/${FILES[mechanism]}`)
  if (isProvider(loaded)) return loaded
  throw new Error(`kafkajs: expected its login by ${mechanism}, got none; reinstall the package`)
}

function isProvider(value: unknown): value is Provider {
  return typeof value === 'function'
}
