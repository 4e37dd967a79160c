/** The enrichers that the config enables. */
import type { Config } from '../../config/agent/schema.ts'
import type { Process } from '../../exporters/contract/event.ts'
import type { Log } from '../host/log.ts'
import { followPods } from '../identity/follow-pods.ts'
import type { Places } from '../identity/places.ts'
import type { FileContents } from '../kernel/files/contents.ts'
import { loadedModules } from '../kernel/symbols.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import type { Placed } from '../process/place.ts'
import type { ProcessTable } from '../process/table.ts'
import { Runtimes } from '../runtimes/runtimes.ts'
import { BOUNDS, Enrichment, together } from './enrichment.ts'
import type { Enricher } from './enrichment.ts'
import { FileHashes } from './hashes.ts'
import { Identity } from './identity.ts'
import { KernelSymbols } from './stacks/kernel-symbols.ts'
import { StackFrames } from './stacks/stack-frames.ts'
import { UserCode } from './stacks/user-code.ts'

export function makeStacks(config: Pick<Config, 'procfs' | 'expose_stack_addresses'>, log: Log): StackFrames {
  const { expose_stack_addresses: addresses, procfs } = config
  const warn = (why: string): void => log.warn(why)
  return new StackFrames({
    kernel: new KernelSymbols({ file: `${procfs}/kallsyms`, modules: loadedModules, warn }),
    user: new UserCode(procfs),
    addresses,
  })
}

export interface EnrichmentOptions {
  readonly config: Pick<Config, 'containers' | 'kubernetes'>
  readonly contents: Pick<FileContents, 'read' | 'idle'>
  readonly stacks: StackFrames
  readonly places: Places
  readonly kubernetes: KubernetesClient | undefined
  readonly nodeName: string
  readonly processes: Pick<ProcessTable, 'identify'>
  readonly log: Log
}

/** Starts requests to container runtimes and the API server, if the config enables them; `undo` ends that. */
export function startEnrichment(undo: AsyncDisposableStack, options: EnrichmentOptions): Enrichment {
  const { config, contents, stacks, places, kubernetes, nodeName, processes, log } = options
  const { pods, announced } = places
  const runtimes = config.containers && undo.use(new Runtimes({ config: config.containers, log }))
  void runtimes?.start()
  if (kubernetes && pods) undo.use(followPods({ client: kubernetes, nodeName, pods, log }))
  const enrichers: Enricher[] = [new FileHashes(contents), stacks]
  if (pods !== undefined || runtimes !== undefined) {
    const identify = (process: Process, known: Partial<Placed>): void => processes.identify(process, known)
    enrichers.push(new Identity({ pods, runtimes, announced }, identify))
  }
  return new Enrichment(together(enrichers), { ...BOUNDS, ms: config.kubernetes?.pod_wait ?? BOUNDS.ms })
}
