/** Policies on functions of kernel modules: hooked when the module is loaded, detached when it is unloaded. */
import { loadOf, loadedModules, moduleOf } from '../kernel/symbols.ts'
import type { Policies } from './registry.ts'

export interface ModuleWatchOptions {
  readonly policies: Pick<Policies, 'list' | 'renew'>
  readonly log: { readonly [level in 'info' | 'error']: (fields: object, message: string) => unknown }
  /** Default: the kernel's. */
  readonly modules?: { readonly loaded: () => string; readonly loadOf: (module: string) => string }
}

export class ModuleWatch {
  readonly #options: ModuleWatchOptions
  readonly #modules: NonNullable<ModuleWatchOptions['modules']>
  #before = ''
  #renewing = false

  constructor(options: ModuleWatchOptions) {
    this.#options = options
    this.#modules = options.modules ?? { loaded: loadedModules, loadOf }
  }

  /** Checks whether modules came or went that a policy may hook; call it every few seconds. Reads one folder if a policy needs it. */
  look(): void {
    if (this.#renewing) return
    const policies = this.#options.policies.list()
    const hooked = new Set(policies.flatMap(({ hooks }) => hooks.map(({ load }) => moduleOf(load))))
    hooked.delete('')
    if (hooked.size === 0 && policies.every(({ skipped }) => skipped.length === 0)) return
    const state = (): string =>
      [this.#modules.loaded(), ...[...hooked].map((module) => this.#modules.loadOf(module))].join(' ')
    const now = state()
    if (now === this.#before) return
    this.#before = now
    void this.#renew(state)
  }

  async #renew(state: () => string): Promise<void> {
    const { policies, log } = this.#options
    this.#renewing = true
    try {
      for (const { id, error } of await policies.renew()) {
        const policy = id.name
        if (error === undefined)
          log.info({ policy }, 'policy attached again, because kernel modules were loaded or unloaded')
        else
          log.error(
            { policy, error: String(error) },
            'policy not attached again, because a kernel module with a required function was unloaded',
          )
      }
      // If a module came or went meanwhile, the policies may be attached to either state: the next check renews them in any case.
      if (state() !== this.#before) this.#before = ''
    } catch (error) {
      this.#before = ''
      log.error({ error: String(error) }, 'the search for functions of modules failed')
    } finally {
      this.#renewing = false
    }
  }
}
