/** The processes that a rule of redaction is for, by their pod and their container. */
import type { RedactConfig } from '../../config/agent/schema.ts'
import type { Process } from '../contract/event.ts'
import { globMatcher } from '../../config/agent/filtering/globs.ts'
import { labelMatcher } from './labels.ts'

type Place = Pick<RedactConfig, 'namespaces' | 'pods' | 'workloads' | 'containers' | 'images' | 'labels'>

/** Undefined: not known, or not yet. */
type Test = (process: Process) => boolean | undefined

/** All keys must match. In a container, an unknown value counts as a match: else a secret would leave with its first events. */
export function placeMatcher(rule: Place): (process: Process) => boolean {
  const tests = testsOf(rule)
  return (process) => tests.every((test) => test(process) ?? process.docker !== '')
}

function testsOf({ namespaces, pods, workloads, containers, images, labels }: Place): Test[] {
  const tests: Test[] = []
  const ofText = (globs: readonly string[] | undefined, of: (process: Process) => string | undefined): void => {
    if (globs === undefined) return
    const matches = globMatcher(globs)
    tests.push((process) => {
      const text = of(process)
      return text === undefined ? undefined : matches(text)
    })
  }
  ofText(namespaces, ({ pod }) => pod?.namespace)
  ofText(pods, ({ pod }) => pod?.name)
  ofText(workloads, ({ pod }) => pod?.workload)
  ofText(containers, (process) => containerOf(process)?.name)
  ofText(images, (process) => containerOf(process)?.image)
  if (labels !== undefined) {
    const matches = labelMatcher(labels)
    tests.push(({ pod, container }) => {
      const known = pod ?? container
      return known === undefined ? undefined : matches(known.labels)
    })
  }
  return tests
}

/** The pod's container, or the runtime's. */
function containerOf({ pod, container }: Process): { readonly name: string; readonly image: string } | undefined {
  return pod === undefined ? container : pod.container
}
