/** Containers that hooks of container runtimes announce: Tetragon's RuntimeHook. */
import { FineGuidanceSensors } from '../../proto/tetragon/sensors_pb.js'
import { ApiError } from '../errors.ts'
import type { ApiOptions } from '../options.ts'
import type { Methods } from '../rpc.ts'

/** Accepts also a container whose id is in no cgroup's name: otherwise Tetragon's hook may, by its settings, keep it from starting. */
export function addRuntimeHook(methods: Methods, { announced, log }: ApiOptions): void {
  methods.unary(FineGuidanceSensors.method.runtimeHook, async ({ event }) => {
    if (event.case !== 'createContainer') {
      throw new ApiError('INVALID_ARGUMENT', 'expected createContainer, the only supported event')
    }
    const { containerID, cgroupsPath } = event.value
    const isKnown = await announced.add(event.value)
    log.debug({ container: containerID, cgroup: cgroupsPath, used: isKnown }, 'a runtime announced a container')
    return {}
  })
}
