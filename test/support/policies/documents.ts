/** Policies as tests write them. */
import { isIdentityOperator } from './identity.ts'
import type { ProcessFilters } from './process-filters.ts'

export interface ArgumentDocument {
  readonly index: number
  readonly type: string
  readonly resolve?: string
  /** The position, from 1 on, of the parameter with the number of bytes. */
  readonly sizeArgIndex?: number
}

export interface DataDocument {
  readonly type: string
  readonly source: 'current_task'
  readonly resolve: string
}

export interface FilterDocument {
  /** Position in the prototype, or in `data`; `args` wins. */
  readonly index?: number
  readonly args?: readonly number[]
  readonly operator: string
  readonly values?: readonly string[]
  readonly sticky?: boolean
}

export interface ActionDocument {
  readonly action: string
  readonly argSig?: number
  /** Longer than the calls take. */
  readonly rateLimit?: string
  readonly rateLimitScope?: string
}

export interface SelectorDocument extends ProcessFilters {
  /** Changes nothing. */
  readonly label?: string
  readonly matchArgs?: readonly FilterDocument[]
  readonly matchData?: readonly FilterDocument[]
  readonly matchReturnArgs?: readonly FilterDocument[]
  readonly matchActions?: readonly ActionDocument[]
}

/** A hook as it is written in a policy. */
export interface HookDocument {
  readonly call: string
  readonly syscall?: boolean
  readonly return?: boolean
  readonly returnArg?: ArgumentDocument
  readonly message?: string
  readonly args?: readonly ArgumentDocument[]
  readonly data?: readonly DataDocument[]
  readonly selectors?: readonly SelectorDocument[]
}

export interface PolicyDocument {
  readonly name: string
  readonly hooks: readonly HookDocument[]
  /** In mode monitor. */
  readonly monitor?: boolean
}

const asksOfIdentity = ({ selectors = [] }: HookDocument): boolean =>
  selectors.some(({ matchArgs = [] }) => matchArgs.some(({ operator }) => isIdentityOperator(operator)))

/** The text of a policy file: JSON, which is YAML. */
export function policyText({ name, hooks, monitor }: PolicyDocument): string {
  return JSON.stringify({
    apiVersion: hooks.some(asksOfIdentity) ? 'ktrail.dev/v1alpha1' : 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name },
    spec: {
      ...(monitor === true ? { options: [{ name: 'policy-mode', value: 'monitor' }] } : {}),
      kprobes: hooks,
    },
  })
}
