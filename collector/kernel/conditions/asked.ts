/** What selectors ask for that is not in the call: conditions on processes, and files by identity. Counted by policies that ask. */
import type { Policy } from '../../../config/policy/policy.ts'
import type { Conditions } from './conditions.ts'
import { hostNamespaces } from './host-namespaces.ts'
import { Files } from '../files/files.ts'
import type { FilesOptions } from '../files/files.ts'
import type { HostFacts } from '../layout/selector.ts'
import type { SharedMaps } from '../objects.ts'

export class Asked {
  readonly #conditions: Conditions
  readonly files: Files
  readonly facts: HostFacts

  constructor(conditions: Conditions, files: FilesOptions, maps: SharedMaps, procfs: string) {
    this.#conditions = conditions
    this.files = new Files(files, maps)
    this.facts = { ...conditions.bits, hostNamespace: hostNamespaces(procfs), filesOf: this.files.bitOf }
  }

  /** Rejects with POLICY_REFUSED; then nothing changes. */
  async add(policies: readonly Policy[]): Promise<void> {
    await this.#conditions.add(policies)
    try {
      await this.files.add(policies)
    } catch (error) {
      this.#conditions.remove(policies)
      throw error
    }
  }

  /** Once no program asks for these policies any more. */
  remove(policies: readonly Policy[]): void {
    this.#conditions.remove(policies)
    this.files.remove(policies)
  }
}
