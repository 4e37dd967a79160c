/** Pods as the API server sends them, and as they are kept. */
import { podOf } from '../../../../../collector/identity/pod-object.ts'
import type { KnownPod } from '../../../../../collector/identity/pod-object.ts'
import { OBJECT } from '../../../../../collector/kubernetes/client.ts'

export const ID = '0123456789abcdef'.repeat(4)
export const OTHER_ID = 'fedcba9876543210'.repeat(4)
export const UID = '1c9a7f0e-5f6d-4a6e-9a55-0d1c4f0b8a11'

export interface PodChange {
  readonly metadata?: object
  readonly spec?: object
  readonly status?: object
}

/** A pod named `web` in `default`, with unused fields. */
export function podObject({ metadata, spec, status }: PodChange = {}): object {
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name: 'web',
      namespace: 'default',
      uid: UID,
      resourceVersion: '42',
      managedFields: [{ manager: 'kubelet' }],
      ...metadata,
    },
    spec: { nodeName: 'node-1', containers: [{ name: 'main', image: 'busybox', resources: {} }], ...spec },
    status: { phase: 'Running', qosClass: 'BestEffort', ...status },
  }
}

export function containerStatus(name: string, id: string, state: object): object {
  return {
    name,
    containerID: `containerd://${id}`,
    image: 'docker.io/library/busybox:1.36',
    imageID: 'docker.io/library/busybox@sha256:3fbc',
    ready: true,
    restartCount: 0,
    state,
  }
}

/** The pod with one container, `main`. */
export function known({ id, uid = UID, spec }: { id?: string; uid?: string; spec?: object }): KnownPod {
  const state = { running: { startedAt: '2024-04-14T02:17:40Z' } }
  const status = id === undefined ? {} : { containerStatuses: [containerStatus('main', id, state)] }
  return podOf(OBJECT.parse(podObject({ metadata: { uid }, status, ...(spec === undefined ? {} : { spec }) })))
}
